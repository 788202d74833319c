"""What operators are given: alarms that can go off, dashboards that show something, queries that find it."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from access.templates import PROJECT, Side, resolved, source

SIDES: list[Side] = ["a", "b"]
FUNCTIONS = {"a": ("OrdersFunction", "orders"), "b": ("CallerFunction", "caller")}

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
    "AWS/Lambda": {"ConcurrentExecutions", "DeadLetterErrors", "Duration", "Errors", "Invocations", "Throttles"},
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


def alarm_metrics(side: Side) -> dict[str, Metric]:
    return {
        name: (
            alarm["Namespace"],
            alarm["MetricName"],
            frozenset((dimension["Name"], dimension["Value"]) for dimension in alarm.get("Dimensions", [])),
        )
        for name, alarm in alarms(side).items()
    }


def dashboard_metrics(side: Side) -> Iterator[Metric]:
    for widget in widgets(side):
        for namespace, name, *rest in widget["properties"].get("metrics", []):
            dimensions = [item for item in rest if isinstance(item, str)]
            yield namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True))


def code(side: Side) -> list[ast.AST]:
    """Every node of the handler module of an account's function."""
    _, package = FUNCTIONS[side]
    return list(ast.walk(ast.parse((PROJECT / "functions" / package / "handler.py").read_text())))


def calls(side: Side, *names: str) -> Iterator[ast.Call]:
    for node in code(side):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if called in names:
                yield node


def emitted_metrics(side: Side) -> set[str]:
    """The names of the metrics that an account's function emits."""
    return {
        node.value
        for call in calls(side, "add_metric", "count")
        for node in itertools.chain(*map(ast.walk, call.args))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def own_metrics(side: Side, metrics: Iterator[Metric]) -> set[str]:
    """The names of those metrics that this project's function emits, after checking how they are told apart."""
    function = resolved(side)["Resources"][FUNCTIONS[side][0]]["Properties"]["Environment"]["Variables"]
    found = set()
    for namespace, name, dimensions in metrics:
        if namespace == function["POWERTOOLS_METRICS_NAMESPACE"]:
            assert dimensions == {("service", function["POWERTOOLS_SERVICE_NAME"])}, name
            found.add(name)
    return found


@pytest.mark.parametrize("side", SIDES)
def test_the_dashboard_shows_exactly_the_metrics_that_the_code_emits(side: Side) -> None:
    emitted = emitted_metrics(side)
    assert len(emitted) >= 6
    assert own_metrics(side, dashboard_metrics(side)) == emitted


def test_alarms_watch_metrics_that_the_code_emits() -> None:
    watched = own_metrics("b", iter(alarm_metrics("b").values()))
    assert watched == {"AssumeRoleFailed", "CallFailed", "CallSucceeded"}
    assert watched <= emitted_metrics("b")


@pytest.mark.parametrize("side", SIDES)
def test_every_metric_of_aws_exists_and_belongs_to_a_resource_of_the_stack(side: Side) -> None:
    resources = resolved(side)["Resources"]
    types = {name: item["Type"] for name, item in resources.items()}
    title = resources["OrdersApi"]["Properties"]["Body"]["info"]["title"] if side == "a" else None
    stage = resources["OrdersApiStage"]["Properties"]["StageName"] if side == "a" else None
    seen = 0
    for namespace, name, dimensions in {*alarm_metrics(side).values(), *dashboard_metrics(side)}:
        if not namespace.startswith("AWS/"):
            continue
        seen += 1
        assert name in AWS_METRICS[namespace], f"{namespace} has no metric {name}"
        match dict(dimensions):
            case {"FunctionName": function, **rest}:
                assert (types[function], rest) == ("AWS::Lambda::Function", {})
            case {"TableName": table, **rest}:
                assert (types[table], rest) == ("AWS::DynamoDB::Table", {})
            case {"QueueName": queue, **rest}:
                assert queue.endswith(".QueueName")
                assert (types[queue.removesuffix(".QueueName")], rest) == ("AWS::SQS::Queue", {})
            case {"ApiName": api, "Stage": stage_name, **rest}:
                # The dimension is the API's name, which is the title of its definition.
                assert (api, stage_name) == (title, stage)
                if rest:
                    paths = resources["OrdersApi"]["Properties"]["Body"]["paths"]
                    assert rest["Method"].lower() in paths[rest["Resource"]]
            case other:
                pytest.fail(f"{namespace} {name} is told apart by {other}")
    assert seen >= 10


def test_refusals_and_throttles_are_counted_from_the_access_log() -> None:
    filters = of_type("AWS::Logs::MetricFilter", "a")
    access_log = json.loads(
        resolved("a")["Resources"]["OrdersApiStage"]["Properties"]["AccessLogSetting"]["Format"].replace("\n", "")
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
    namespace = f"CrossAccountApi/{resolved('a')['Resources']['OrdersApi']['Properties']['Body']['info']['title']}"
    for metrics in (set(alarm_metrics("a").values()), set(dashboard_metrics("a"))):
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
            assert word in named | {"AssumeRoleError", "ConcurrentExecutions"}, f"{name} names {word}: what is it?"
        assert alarm["TreatMissingData"] in {"breaching", "notBreaching"}, name


@pytest.mark.parametrize("side", SIDES)
def test_alarms_stay_within_the_time_that_cloudwatch_looks_back(side: Side) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    longest = {
        name: parameter["MaxValue"]
        for name, parameter in source(side)["Parameters"].items()
        if name == "MaxHoursWithoutSuccess"
    }
    for name, alarm in alarms(side, **longest).items():
        limit = 86_400 if alarm["Period"] < 3600 else 604_800
        assert alarm["Period"] % 60 == 0
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= limit, name


def test_no_success_is_an_alarm_as_long_as_the_schedule_is_on() -> None:
    alarm = alarms("b", MaxHoursWithoutSuccess=26)["NoSuccessAlarm"]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (3600, 26, "breaching")
    assert "DatapointsToAlarm" not in alarm
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Sum", "LessThanThreshold", 1)
    assert "NoSuccessAlarm" not in alarms("b", ScheduleState="DISABLED")
    others = {name: item for name, item in alarms("b").items() if name != "NoSuccessAlarm"}
    assert all(item["TreatMissingData"] == "notBreaching" for item in (others | alarms("a")).values())


def test_no_success_waits_longer_than_the_default_schedule() -> None:
    parameters = source("b")["Parameters"]
    assert parameters["ScheduleExpression"]["Default"] == "rate(1 hour)"
    assert parameters["MaxHoursWithoutSuccess"]["Default"] == 2


def test_thresholds_follow_from_what_they_watch() -> None:
    resources, watching = resolved("b")["Resources"], alarms("b")
    function, queue, failed = (
        resources[name]["Properties"] for name in ("CallerFunction", "CallQueue", "FailedCallQueue")
    )
    assert watching["CallerDurationAlarm"]["Threshold"] == 0.8 * function["Timeout"] * 1000

    # A call that is tried as often as the queue allows is not yet one that waits too long.
    tried = queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"]
    assert tried < watching["WaitingCallsAlarm"]["Threshold"] < queue["MessageRetentionPeriod"]

    # A message is deleted by its age since it was first sent, in whatever queue. Three days are left to replay it.
    left = failed["MessageRetentionPeriod"] - queue["MessageRetentionPeriod"]
    assert watching["FailedCallAgeAlarm"]["Threshold"] == left - 3 * 86_400


@pytest.mark.parametrize("side", SIDES)
def test_alarms_reach_nobody_unless_an_address_is_given(side: Side) -> None:
    assert all(not {"AlarmActions", "OKActions"} & set(alarm) for alarm in alarms(side).values())
    for kind in ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "AWS::SNS::Subscription", "AWS::KMS::Key"):
        assert of_type(kind, side) == {}


@pytest.mark.parametrize("side", SIDES)
def test_alarms_reach_the_address_that_is_given(side: Side) -> None:
    for name, alarm in alarms(side, AlarmEmail="ops@example.org").items():
        assert (alarm["AlarmActions"], alarm["OKActions"]) == (["AlarmTopic"], ["AlarmTopic"]), name
    (subscription,) = of_type("AWS::SNS::Subscription", side, AlarmEmail="ops@example.org").values()
    assert subscription == {"TopicArn": "AlarmTopic", "Protocol": "email", "Endpoint": "ops@example.org"}


@pytest.mark.parametrize("side", SIDES)
def test_only_this_stacks_alarms_may_publish_and_use_the_key(side: Side) -> None:
    account = {"a": "111111111111", "b": "222222222222"}[side]
    resources = resolved(side, AlarmEmail="ops@example.org")["Resources"]
    assert resources["AlarmTopic"]["Properties"] == {"KmsMasterKeyId": "AlarmKey"}

    only_alarms = {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:eu-west-1:{account}:alarm:stack-{side}-*"},
    }
    publish, deny = resources["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert publish == {
        "Sid": "PublishAlarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": "AlarmTopic",
        "Condition": only_alarms,
    }
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})

    key = resources["AlarmKey"]["Properties"]
    assert key["EnableKeyRotation"] is True
    administer, encrypt = key["KeyPolicy"]["Statement"]
    assert administer["Principal"] == {"AWS": f"arn:aws:iam::{account}:root"}
    assert encrypt["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert encrypt["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert encrypt["Condition"] == only_alarms


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
def test_the_dashboards_widgets_fill_rows_without_overlap(side: Side) -> None:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    cells: list[tuple[int, int]] = []
    for widget in widgets(side):
        assert widget["properties"]["title"]
        assert widget["type"] == "alarm" or widget["properties"]["region"] == "eu-west-1"
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells += itertools.product(columns, range(widget["y"], widget["y"] + widget["height"]))
    rows = max(y for _, y in cells) + 1
    assert sorted(cells) == sorted(itertools.product(range(24), range(rows)))


def test_the_dashboard_shows_every_route() -> None:
    paths = resolved("a")["Resources"]["OrdersApi"]["Properties"]["Body"]["paths"]
    routes = {(method.upper(), path) for path, methods in paths.items() for method in methods if method != "options"}
    shown = {
        (dict(dimensions)["Method"], dict(dimensions)["Resource"])
        for _, _, dimensions in dashboard_metrics("a")
        if "Resource" in dict(dimensions)
    }
    assert shown == routes


# What a query may name beside fields of the log: CloudWatch's own fields, its commands and functions.
INSIGHTS_WORDS = {
    *("and", "as", "asc", "by", "desc", "fields", "filter", "in", "like", "limit", "or", "parse", "sort", "stats"),
    *("count", "ispresent", "latest", "max", "pct"),
}
INSIGHTS_FIELDS = {"@message", "@timestamp"}
# What Powertools puts into every line: https://docs.aws.amazon.com/powertools/python/latest/core/logger/#standard-structured-keys
POWERTOOLS_FIELDS = {"exception", "exception_name", "level", "message", "service", "timestamp"}


def logged_fields(side: Side, log_group: str) -> set[str]:
    """The fields of the lines in one log group."""
    if log_group == "AccessLogGroup":
        stage = resolved("a")["Resources"]["OrdersApiStage"]["Properties"]
        return set(json.loads(stage["AccessLogSetting"]["Format"].replace("\n", "")))
    keywords = {
        keyword.arg for call in calls(side, "append_keys", "info", "error") for keyword in call.keywords if keyword.arg
    }
    keys = {
        key.value
        for node in code(side)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    return keywords | keys | POWERTOOLS_FIELDS


def named_fields(query: str) -> set[str]:
    """The fields that a query reads, without those that it makes itself."""
    query = re.sub(r"^SOURCE '\w+' \| ", "", query)
    made = set(re.findall(r" as (\w+)", query))
    for names in re.findall(r"parse \w+ (?:\"[^\"]*\"|'[^']*') as ([\w, ]+)", query):
        made |= set(re.findall(r"\w+", names))
    without_values = re.sub(r"\"[^\"]*\"|'[^']*'|/[^/]*/", "", query)
    return set(re.findall(r"@?[a-z_]\w*", without_values)) - made - INSIGHTS_WORDS


@pytest.mark.parametrize("side", SIDES)
def test_queries_ask_for_fields_that_are_logged(side: Side) -> None:
    saved = [
        (item["LogGroupNames"], item["QueryString"]) for item in of_type("AWS::Logs::QueryDefinition", side).values()
    ]
    shown = [widget["properties"]["query"] for widget in widgets(side) if widget["type"] == "log"]
    assert (len(saved), len(shown)) == (5, 2)
    for log_groups, query in [*saved, *(([re.findall(r"^SOURCE '(\w+)'", query)[0]], query) for query in shown)]:
        assert all(resolved(side)["Resources"][name]["Type"] == "AWS::Logs::LogGroup" for name in log_groups)
        fields = named_fields(query)
        known = INSIGHTS_FIELDS.union(*(logged_fields(side, name) for name in log_groups))
        assert fields, query
        assert fields <= known, f"{sorted(fields - known)} is not logged: {query}"


def test_one_call_is_followed_by_ids_that_both_sides_log() -> None:
    caller, backend = logged_fields("b", "CallerLogGroup"), logged_fields("a", "OrdersLogGroup")
    access = logged_fields("a", "AccessLogGroup")
    assert {"correlation_id", "api_request_id"} <= caller
    assert {"correlation_id", "request_id"} <= backend
    assert "request_id" in access


@pytest.mark.parametrize("side", SIDES)
def test_queries_are_named_after_the_stack_and_can_be_left_out(side: Side) -> None:
    queries = of_type("AWS::Logs::QueryDefinition", side).values()
    assert all(re.fullmatch(rf"stack-{side}/[a-z]+(-[a-z]+)+", item["Name"]) for item in queries)
    assert of_type("AWS::Logs::QueryDefinition", side, SaveLogQueries="false") == {}
