"""Operations: alarms that can go off, dashboards with metrics that exist, queries that run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cross_account_access.model import load
from cross_account_access.templates import PROJECT, Side, resolved, source

SIDES: list[Side] = ["a", "b"]
API = load().api
FUNCTIONS: dict[Side, list[str]] = {
    side: [name for name, item in resolved(side)["Resources"].items() if item["Type"] == "AWS::Lambda::Function"]
    for side in SIDES
}
EMAIL: dict[str, Any] = {"AlarmEmail": "ops@example.org"}

# The metrics of AWS that alarms and dashboards may name, as the services' documentation lists them.
AWS_METRICS = {
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    "AWS/ApiGateway": {"4XXError", "5XXError", "Count", "IntegrationLatency", "Latency"},
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    "AWS/DynamoDB": {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    },
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {
        "AsyncEventsDropped",
        "ConcurrentExecutions",
        "DeadLetterErrors",
        "Duration",
        "Errors",
        "Invocations",
        "Throttles",
    },
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html
    "AWS/Scheduler": {
        "InvocationAttemptCount",
        "InvocationDroppedCount",
        "InvocationsFailedToBeSentToDeadLetterCount",
        "TargetErrorCount",
    },
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
    },
}

type Metric = tuple[str, str, frozenset[tuple[str, str]]]


def of_type(kind: str, side: Side, **parameters: Any) -> dict[str, dict[str, Any]]:
    """The properties of a stack's resources of one type, by logical id."""
    resources = resolved(side, **parameters)["Resources"]
    return {name: item["Properties"] for name, item in resources.items() if item["Type"] == kind}


def alarms(side: Side, **parameters: Any) -> dict[str, dict[str, Any]]:
    return of_type("AWS::CloudWatch::Alarm", side, **parameters)


def widgets(side: Side, **parameters: Any) -> list[dict[str, Any]]:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard", side, **parameters).values()
    found: list[dict[str, Any]] = json.loads(dashboard["DashboardBody"])["widgets"]
    return found


def alarm_metrics(side: Side, **parameters: Any) -> dict[str, set[Metric]]:
    """The metrics that each alarm watches; several if it watches an expression."""
    found: dict[str, set[Metric]] = {}
    for name, alarm in alarms(side, **parameters).items():
        watched = [item["MetricStat"]["Metric"] for item in alarm.get("Metrics", []) if "MetricStat" in item] or [alarm]
        found[name] = {
            (
                metric["Namespace"],
                metric["MetricName"],
                frozenset((dimension["Name"], dimension["Value"]) for dimension in metric.get("Dimensions", [])),
            )
            for metric in watched
        }
    return found


def watched(side: Side) -> set[Metric]:
    return set().union(*alarm_metrics(side).values())


def dashboard_metrics(side: Side) -> Iterator[Metric]:
    for widget in widgets(side):
        for namespace, name, *rest in (item for item in widget["properties"].get("metrics", []) if len(item) > 1):
            dimensions = [item for item in rest if isinstance(item, str)]
            yield namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True))


@pytest.mark.parametrize("side", SIDES)
def test_metrics_of_this_project_are_emitted_by_its_function(side: Side) -> None:
    functions = [resolved(side)["Resources"][name]["Properties"] for name in FUNCTIONS[side]]
    packages = [PROJECT / "functions" / function["Handler"].partition(".")[0] for function in functions]
    code = "".join(path.read_text() for package in packages for path in package.glob("*.py"))
    services = {function["Environment"]["Variables"].get("POWERTOOLS_SERVICE_NAME") for function in functions}
    own = {metric for metric in {*watched(side), *dashboard_metrics(side)} if metric[0] == "CrossAccountApi"}
    assert side == "a" or len(own) >= 6
    for _, name, dimensions in own:
        assert {dimension for dimension, _ in dimensions} == {"service"}
        assert {value for _, value in dimensions} <= services, name
        assert f'"{name}"' in code, f"nothing emits {name}"


@pytest.mark.parametrize("side", SIDES)
def test_every_metric_of_aws_exists_for_a_resource_of_the_stack(side: Side) -> None:
    resources = resolved(side)["Resources"]
    types = {name: item["Type"] for name, item in resources.items()}
    title = resources[API]["Properties"]["Body"]["info"]["title"] if side == "a" else None
    stage = load().stage if side == "a" else None
    seen = 0
    for namespace, name, dimensions in {*watched(side), *dashboard_metrics(side)}:
        if not namespace.startswith("AWS/"):
            continue
        seen += 1
        assert name in AWS_METRICS[namespace], f"{namespace} has no metric {name}"
        match dict(dimensions):
            case {"FunctionName": function, **rest}:
                assert (types[function], rest) == ("AWS::Lambda::Function", {})
            case {"TableName": table, **rest}:
                assert types[table] == "AWS::DynamoDB::Table"
                indexes = resources[table]["Properties"].get("GlobalSecondaryIndexes", [])
                assert set(rest.items()) <= {("GlobalSecondaryIndexName", index["IndexName"]) for index in indexes}
            case {"ScheduleGroup": group, **rest}:
                assert (types[group], rest) == ("AWS::Scheduler::ScheduleGroup", {})
            case {"QueueName": queue, **rest}:
                assert queue.endswith(".QueueName")
                assert (types[queue.removesuffix(".QueueName")], rest) == ("AWS::SQS::Queue", {})
            case {"ApiName": api, "Stage": stage_name, **rest}:
                # The dimension is the API's name, which is the title of its definition.
                assert (api, stage_name) == (title, stage)
                if rest:
                    paths = resources[API]["Properties"]["Body"]["paths"]
                    assert rest["Method"].lower() in paths[rest["Resource"]]
            case other:
                pytest.fail(f"{namespace} {name} is distinguished by {other}")
    assert seen >= 10


def test_refusals_and_throttles_are_counted_from_the_access_log() -> None:
    filters = of_type("AWS::Logs::MetricFilter", "a")
    access_log = json.loads(
        resolved("a")["Resources"][f"{API}Stage"]["Properties"]["AccessLogSetting"]["Format"].replace("\n", "")
    )
    counted = {}
    for item in filters.values():
        (transformation,) = item["MetricTransformations"]
        metric = transformation["MetricNamespace"], transformation["MetricName"], frozenset[tuple[str, str]]()
        # The log's values are text, so the pattern compares text.
        (field, status) = re.fullmatch(r'\{ \$\.(\w+) = "(\d+)" \}', item["FilterPattern"]).groups()  # type: ignore[union-attr]
        assert access_log[field] == "$context.status"
        assert item["LogGroupName"] == "AccessLogGroup"
        assert (transformation["MetricValue"], transformation["DefaultValue"]) == ("1", 0)
        counted[metric] = status
    assert sorted(counted.values()) == ["403", "429"]
    namespace = f"CrossAccountApi/{resolved('a')['Resources'][API]['Properties']['Body']['info']['title']}"
    for metrics in (watched("a"), set(dashboard_metrics("a"))):
        assert {metric for metric in metrics if metric[0] == namespace} == set(counted)


@pytest.mark.parametrize("side", SIDES)
def test_every_alarm_says_what_it_means_and_what_to_do_first(side: Side) -> None:
    queries = {item["Name"] for item in of_type("AWS::Logs::QueryDefinition", side).values()}
    named = {*source(side)["Parameters"], *source(side)["Resources"], *source(side)["Outputs"]}
    for name, alarm in alarms(side).items():
        description = alarm["AlarmDescription"]
        meaning, first = description.split(" First: ")
        assert len(meaning) > 40, name
        assert len(first) > 40, name
        assert len(description) <= 1024, name
        assert description.isascii(), name
        for query in re.findall(r"saved query ([a-z-]+)", description):
            assert f"stack-{side}/{query}" in queries, f"{name} names the query {query}, which is not saved"
        for word in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", description):
            assert word in named | {"EventBridge", "DynamoDB"}, f"{name} names {word}: what is it?"


@pytest.mark.parametrize("side", SIDES)
def test_alarms_stay_within_the_time_that_cloudwatch_looks_back(side: Side) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    longest = {
        name: parameter["MaxValue"]
        for name, parameter in source(side)["Parameters"].items()
        if name == "MaxHoursWithoutSuccess"
    }
    for name, alarm in alarms(side, **longest).items():
        period = alarm["Metrics"][-1]["MetricStat"]["Period"] if "Metrics" in alarm else alarm["Period"]
        limit = 86_400 if period < 3600 else 604_800
        assert period % 60 == 0
        assert period * alarm["EvaluationPeriods"] <= limit, name


@pytest.mark.parametrize("side", SIDES)
def test_every_alarm_can_return_to_ok(side: Side) -> None:
    for name, alarm in alarms(side).items():
        assert alarm["TreatMissingData"] == ("breaching" if name == "NoSuccessAlarm" else "notBreaching"), name
        for expression in (item["Expression"] for item in alarm.get("Metrics", []) if "Expression" in item):
            ids = {item["Id"] for item in alarm["Metrics"] if "MetricStat" in item}
            assert set(re.findall(r"FILL\((\w+), 0\)", expression)) == ids, f"{name}: a gap would hide the others"
    # CloudWatch ignores TreatMissingData for these, and they have data only while something is throttled.
    assert not [metric for metric in watched(side) if metric[0] == "AWS/DynamoDB"]


def test_every_way_to_lose_a_call_is_watched() -> None:
    metrics = {(namespace, name) for namespace, name, _ in watched("b")}
    assert {
        ("AWS/Lambda", "AsyncEventsDropped"),
        ("AWS/Lambda", "DeadLetterErrors"),
        ("AWS/Scheduler", "InvocationDroppedCount"),
        ("AWS/Scheduler", "InvocationsFailedToBeSentToDeadLetterCount"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    } <= metrics


def test_no_success_is_an_alarm_while_a_schedule_repeats() -> None:
    alarm = alarms("b", MaxHoursWithoutSuccess=26)["NoSuccessAlarm"]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (3600, 26, "breaching")
    assert "DatapointsToAlarm" not in alarm
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Sum", "LessThanThreshold", 1)
    assert "NoSuccessAlarm" in alarms("b", ScheduleExpression="cron(0 6 * * ? *)")
    assert "NoSuccessAlarm" not in alarms("b", ScheduleState="DISABLED")
    assert "NoSuccessAlarm" not in alarms("b", ScheduleExpression="at(2030-01-01T06:00:00)")


def test_a_new_stack_has_time_for_its_first_daily_call() -> None:
    warm_up = alarms("b")["NoSuccessAlarm"]["WarmUpConfiguration"]
    assert 24 * 60 < warm_up["WarmUpPeriodDurationInMinutes"] <= 2880
    # True would keep the alarm blind even after the first call.
    assert not warm_up.get("OnlyStartEvaluatingAfterWarmUpPeriodEnds", False)


def test_no_success_waits_longer_than_the_default_schedule() -> None:
    parameters = source("b")["Parameters"]
    assert parameters["ScheduleExpression"]["Default"] == "rate(1 hour)"
    assert parameters["MaxHoursWithoutSuccess"]["Default"] == 2


def test_thresholds_follow_from_what_they_watch() -> None:
    resources, watching = resolved("b")["Resources"], alarms("b")
    queue, failed = (resources[name]["Properties"] for name in ("CallQueue", "FailedCallQueue"))
    # A message that keeps failing comes back after the visibility timeout: still within the window, so no second alarm.
    failed_calls = watching["FailedCallsAlarm"]
    assert failed_calls["DatapointsToAlarm"] == 1
    assert (failed_calls["EvaluationPeriods"] - 1) * failed_calls["Period"] > queue["VisibilityTimeout"]

    # A call that uses up its deliveries does not count as waiting too long.
    tried = queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"]
    assert tried < watching["WaitingCallsAlarm"]["Threshold"] < queue["MessageRetentionPeriod"]

    # A message is deleted by its age since it was first sent, in any queue. Three days are left to replay it.
    left = failed["MessageRetentionPeriod"] - queue["MessageRetentionPeriod"]
    assert watching["FailedCallAgeAlarm"]["Threshold"] == left - 3 * 86_400


@pytest.mark.parametrize("side", SIDES)
def test_alarms_go_to_the_topic_and_the_topic_to_the_address(side: Side) -> None:
    for name, alarm in alarms(side).items():
        assert (alarm["AlarmActions"], alarm["OKActions"]) == (["AlarmTopic"], ["AlarmTopic"]), name
    assert of_type("AWS::SNS::Subscription", side) == {}
    (subscription,) = of_type("AWS::SNS::Subscription", side, **EMAIL).values()
    assert subscription == {"TopicArn": "AlarmTopic", "Protocol": "email", "Endpoint": "ops@example.org"}


@pytest.mark.parametrize("side", SIDES)
def test_without_operations_nothing_costs_money_while_idle(side: Side) -> None:
    resources = resolved(side, Operations="none", **EMAIL)["Resources"]
    kinds = {item["Type"].split("::")[1] for item in resources.values()}
    assert not kinds & {"CloudWatch", "SNS"}
    assert not [item for item in resources.values() if item["Type"] == "AWS::Logs::MetricFilter"]
    for name in FUNCTIONS[side]:
        without, full = (
            found[name]["Properties"]["Environment"]["Variables"] for found in (resources, resolved(side)["Resources"])
        )
        if "POWERTOOLS_METRICS_NAMESPACE" in full:
            assert without["POWERTOOLS_METRICS_DISABLED"] == "true"
            assert full["POWERTOOLS_METRICS_DISABLED"] == "false"


@pytest.mark.parametrize("side", SIDES)
def test_alarms_alone_include_their_queries_but_no_dashboard(side: Side) -> None:
    full, only = (resolved(side, Operations=mode)["Resources"] for mode in ("full", "alarms"))
    assert set(full) - set(only) == {"Dashboard"}


@pytest.mark.parametrize(("operations", "enabled"), [("full", True), ("alarms", False), ("none", False)])
def test_metrics_for_each_route_come_with_the_dashboard(operations: str, enabled: bool) -> None:
    stage = resolved("a", Operations=operations)["Resources"][f"{API}Stage"]["Properties"]
    assert stage["MethodSettings"][0]["MetricsEnabled"] is enabled


@pytest.mark.parametrize("address", ["", "ops@example.org", "first.last+alarms@sub.example.co.uk"])
def test_an_address_is_an_email_address_or_nothing(address: str) -> None:
    for side in SIDES:
        assert re.fullmatch(source(side)["Parameters"]["AlarmEmail"]["AllowedPattern"], address)
        assert not re.fullmatch(source(side)["Parameters"]["AlarmEmail"]["AllowedPattern"], f"{address} x")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("state", ["ENABLED", "DISABLED"])
def test_the_dashboard_shows_every_alarm(side: Side, state: str) -> None:
    parameters = {"ScheduleState": state} if side == "b" else {}
    shown = [name for widget in widgets(side, **parameters) for name in widget["properties"].get("alarms", [])]
    assert sorted(shown) == sorted(f"{name}.Arn" for name in alarms(side, **parameters))


@pytest.mark.parametrize("side", SIDES)
def test_dashboards_of_stacks_and_regions_have_different_names(side: Side) -> None:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard", side).values()
    assert dashboard["DashboardName"] == f"stack-{side}-eu-west-1"


def test_the_dashboard_shows_every_route() -> None:
    (search,) = (
        item["expression"]
        for widget in widgets("a")
        for metrics in widget["properties"].get("metrics", [])
        for item in metrics
        if isinstance(item, dict) and "expression" in item
    )
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
    schema, terms = re.fullmatch(r"SEARCH\('\{(.+?)\} (.+)', 'Sum', 300\)", search).groups()  # type: ignore[union-attr]
    # The metrics of routes, by the very dimensions that API Gateway gives them, of this stage only.
    assert schema == "AWS/ApiGateway,ApiName,Method,Resource,Stage"
    title = resolved("a")["Resources"][API]["Properties"]["Body"]["info"]["title"]
    assert terms == f'MetricName="Count" ApiName="{title}" Stage="{load().stage}"'


@pytest.mark.parametrize("side", SIDES)
def test_queries_are_named_after_the_stack(side: Side) -> None:
    queries = of_type("AWS::Logs::QueryDefinition", side).values()
    assert all(re.fullmatch(rf"stack-{side}/[a-z]+(-[a-z]+)+", item["Name"]) for item in queries)
    assert len(queries) == 5
    resources = resolved(side)["Resources"]
    for item in queries:
        assert all(resources[name]["Type"] == "AWS::Logs::LogGroup" for name in item["LogGroupNames"])
