"""Operations: alarms that can go off, dashboards with metrics that exist, queries that run."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from cross_account_access.model import load
from cross_account_access.templates import PROJECT, Side
from tests.templates.stacks import EMAIL, SIDES, of_type, properties, resources, written

API = load().api
TITLE = properties(API, "a")["Body"]["info"]["title"]

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
    functions = of_type("AWS::Lambda::Function", side).values()
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
    types = {name: item["Type"] for name, item in resources(side).items()}
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
                indexes = properties(table, side).get("GlobalSecondaryIndexes", [])
                assert set(rest.items()) <= {("GlobalSecondaryIndexName", index["IndexName"]) for index in indexes}
            case {"ScheduleGroup": group, **rest}:
                assert (types[group], rest) == ("AWS::Scheduler::ScheduleGroup", {})
            case {"QueueName": queue, **rest}:
                assert queue.endswith(".QueueName")
                assert (types[queue.removesuffix(".QueueName")], rest) == ("AWS::SQS::Queue", {})
            case {"ApiName": api, "Stage": stage_name, **rest}:
                # The dimension is the API's name, which is the title of its definition.
                assert (api, stage_name) == (TITLE, load().stage)
                if rest:
                    assert rest["Method"].lower() in properties(API, side)["Body"]["paths"][rest["Resource"]]
            case other:
                pytest.fail(f"{namespace} {name} is distinguished by {other}")
    assert seen >= 10


def test_refusals_and_throttles_are_counted_from_the_access_log() -> None:
    access_log = json.loads(properties(f"{API}Stage", "a")["AccessLogSetting"]["Format"])
    counted = {}
    for item in of_type("AWS::Logs::MetricFilter", "a").values():
        (transformation,) = item["MetricTransformations"]
        metric = transformation["MetricNamespace"], transformation["MetricName"], frozenset[tuple[str, str]]()
        # The log's values are text, so the pattern compares text.
        (field, status) = re.fullmatch(r'\{ \$\.(\w+) = "(\d+)" \}', item["FilterPattern"]).groups()  # type: ignore[union-attr]
        assert access_log[field] == "$context.status"
        assert item["LogGroupName"] == "AccessLogGroup"
        assert (transformation["MetricValue"], transformation["DefaultValue"]) == ("1", 0)
        counted[metric] = status
    assert sorted(counted.values()) == ["403", "429"]
    namespace = f"CrossAccountApi/{TITLE}"
    for metrics in (watched("a"), set(dashboard_metrics("a"))):
        assert {metric for metric in metrics if metric[0] == namespace} == set(counted)


@pytest.mark.parametrize("side", SIDES)
def test_every_alarm_names_queries_and_resources_that_exist(side: Side) -> None:
    queries = {item["Name"] for item in of_type("AWS::Logs::QueryDefinition", side).values()}
    named = {name for section in ("Parameters", "Resources", "Outputs") for name in written(side)[section]}
    for name, alarm in alarms(side).items():
        description = alarm["AlarmDescription"]
        for query in re.findall(r"saved query ([a-z-]+)", description):
            assert f"stack-{side}/{query}" in queries, f"{name} names the query {query}, which is not saved"
        for word in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", description):
            assert word in named | {"EventBridge", "DynamoDB"}, f"{name} names {word}: what is it?"


@pytest.mark.parametrize("side", SIDES)
def test_alarms_stay_within_the_time_that_cloudwatch_looks_back(side: Side) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    longest = {
        name: parameter["MaxValue"]
        for name, parameter in written(side)["Parameters"].items()
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
    # A new stack has time for its first daily call; True would keep the alarm blind even after that one.
    assert 24 * 60 < alarm["WarmUpConfiguration"]["WarmUpPeriodDurationInMinutes"] <= 2880
    assert not alarm["WarmUpConfiguration"].get("OnlyStartEvaluatingAfterWarmUpPeriodEnds", False)
    # It waits longer than the default schedule.
    parameters = written("b")["Parameters"]
    assert parameters["ScheduleExpression"]["Default"] == "rate(1 hour)"
    assert parameters["MaxHoursWithoutSuccess"]["Default"] == 2


def test_thresholds_follow_from_what_they_watch() -> None:
    watching = alarms("b")
    queue, failed = (properties(name, "b") for name in ("CallQueue", "FailedCallQueue"))
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
    full, alarms_only, none = (resources(side, Operations=mode, **EMAIL) for mode in ("full", "alarms", "none"))
    assert set(full) - set(alarms_only) == {"Dashboard"}
    assert not [item for item in none.values() if item["Type"].split("::")[1] in {"CloudWatch", "SNS"}]
    assert not [item for item in none.values() if item["Type"] == "AWS::Logs::MetricFilter"]
    for name, item in full.items():
        if "POWERTOOLS_METRICS_NAMESPACE" in item["Properties"].get("Environment", {}).get("Variables", {}):
            disabled = [
                found[name]["Properties"]["Environment"]["Variables"]["POWERTOOLS_METRICS_DISABLED"]
                for found in (full, alarms_only, none)
            ]
            assert disabled == ["false", "false", "true"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("state", ["ENABLED", "DISABLED"])
def test_the_dashboard_shows_every_alarm(side: Side, state: str) -> None:
    parameters = {"ScheduleState": state} if side == "b" else {}
    shown = [name for widget in widgets(side, **parameters) for name in widget["properties"].get("alarms", [])]
    assert sorted(shown) == sorted(f"{name}.Arn" for name in alarms(side, **parameters))
    # Dashboards of stacks and regions have different names.
    assert properties("Dashboard", side, **parameters)["DashboardName"] == f"stack-{side}-eu-west-1"
