"""What account B's template deploys: a caller that may assume one role, its schedule, queues, and people's policy."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import botocore.session
import pytest

from access.templates import resolved, source


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = resolved("b")["Resources"]
    return found


def test_the_caller_may_assume_one_role_and_serve_its_own_queues(resources: dict[str, Any]) -> None:
    role = resources["CallerFunctionRole"]["Properties"]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    granted = {item["Sid"]: (item["Action"], item["Resource"]) for item in policy["PolicyDocument"]["Statement"]}
    assert granted == {
        "AssumeExecutorRole": ("sts:AssumeRole", "arn:aws:iam::111111111111:role/executor"),
        "WriteLogs": (["logs:CreateLogStream", "logs:PutLogEvents"], "CallerLogGroup.Arn"),
        "WriteTraces": (["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
        "ReceiveCalls": (["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], "CallQueue.Arn"),
        "KeepFailedCalls": ("sqs:SendMessage", "FailedCallQueue.Arn"),
    }


def test_the_caller_is_given_the_other_sides_outputs_under_the_same_names(resources: dict[str, Any]) -> None:
    variables = resources["CallerFunction"]["Properties"]["Environment"]["Variables"]
    assert variables == {
        "API_URL": "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1",
        "API_REGION": "",
        "EXECUTOR_ROLE_ARN": "arn:aws:iam::111111111111:role/executor",
        "EXTERNAL_ID": "external-id",
        "SESSION_NAME": "222222222222-stack-b",
        "POWERTOOLS_SERVICE_NAME": "stack-b",
        "POWERTOOLS_METRICS_NAMESPACE": "CrossAccountApi",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def scheduled_call(**parameters: Any) -> dict[str, Any]:
    schedule = resolved("b", **parameters)["Resources"]["CallerFunctionSchedule"]["Properties"]
    call: dict[str, Any] = json.loads(schedule["Target"]["Input"])
    return call


def test_the_scheduled_call_is_made_of_parameters() -> None:
    assert scheduled_call() == {
        "method": "GET",
        "path": "/whoami",
        "body": None,
        "idempotency_key": "stack-b/<aws.scheduler.scheduled-time>",
    }
    call = scheduled_call(CallMethod="POST", CallPath="/orders", CallBody='{"sku": "A-1"}')
    assert (call["method"], call["path"], call["body"]) == ("POST", "/orders", {"sku": "A-1"})


def test_the_schedule_fires_on_time_and_loses_no_call(resources: dict[str, Any]) -> None:
    schedule = resources["CallerFunctionSchedule"]["Properties"]
    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert schedule["State"] == "ENABLED"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = schedule["Target"]
    assert target["Arn"] == "CallerFunction.Arn"
    assert target["RoleArn"] == "ScheduleRole.Arn"
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10}
    assert target["DeadLetterConfig"] == {"Arn": "FailedCallQueue.Arn"}


def test_only_the_scheduler_of_this_account_may_use_the_schedules_role(resources: dict[str, Any]) -> None:
    role = resources["ScheduleRole"]["Properties"]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Sid": "AssumeByScheduler",
            "Effect": "Allow",
            "Principal": {"Service": "scheduler.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": "222222222222"}},
        }
    ]
    (policy,) = role["Policies"]
    assert [(item["Action"], item["Resource"]) for item in policy["PolicyDocument"]["Statement"]] == [
        ("lambda:InvokeFunction", "CallerFunction.Arn"),
        ("sqs:SendMessage", "FailedCallQueue.Arn"),
    ]
    assert not [name for name, item in resources.items() if item["Type"] == "AWS::Lambda::Permission"]


def test_failed_asynchronous_calls_are_kept_as_they_came(resources: dict[str, Any]) -> None:
    assert resources["CallerFunction"]["Properties"]["DeadLetterConfig"] == {"TargetArn": "FailedCallQueue.Arn"}
    config = resources["CallerFunctionEventInvokeConfig"]["Properties"]
    assert config["MaximumRetryAttempts"] == 2
    assert config["MaximumEventAgeInSeconds"] == 21600
    assert not config.get("DestinationConfig"), "a destination would wrap the call in an envelope"


def test_queued_calls_are_retried_one_by_one_and_kept_in_the_end(resources: dict[str, Any]) -> None:
    mapping = resources["CallerFunctionQueue"]["Properties"]
    assert mapping["EventSourceArn"] == "CallQueue.Arn"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 5}
    queue = resources["CallQueue"]["Properties"]
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "FailedCallQueue.Arn", "maxReceiveCount": 5}
    assert queue["VisibilityTimeout"] >= 6 * resources["CallerFunction"]["Properties"]["Timeout"]


def test_failed_calls_are_kept_as_long_as_sqs_can(resources: dict[str, Any]) -> None:
    days = 24 * 60 * 60
    failed = resources["FailedCallQueue"]["Properties"]["MessageRetentionPeriod"]
    assert failed == 14 * days
    assert failed - resources["CallQueue"]["Properties"]["MessageRetentionPeriod"] >= 10 * days


def test_queues_are_encrypted_and_take_nothing_without_tls(resources: dict[str, Any]) -> None:
    for name in ("CallQueue", "FailedCallQueue"):
        assert resources[name]["Properties"]["SqsManagedSseEnabled"] is True
    policy = resources["QueuePolicy"]["Properties"]
    assert policy["Queues"] == ["CallQueue", "FailedCallQueue"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "DenyWithoutTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": ["CallQueue.Arn", "FailedCallQueue.Arn"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


def test_an_attempt_that_the_api_lets_run_into_its_timeout_can_be_repeated(resources: dict[str, Any]) -> None:
    assert resources["CallerFunction"]["Properties"]["Timeout"] > 2 * 29


@pytest.mark.parametrize(("names", "users"), [("", None), ("my-user", ["my-user"]), ("ann,bob", ["ann", "bob"])])
def test_people_may_assume_the_same_role_and_nothing_else(names: str, users: list[str] | None) -> None:
    policy = resolved("b", ApiUserNames=names)["Resources"]["ApiAccessPolicy"]["Properties"]
    assert policy.get("Users") == users
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "AssumeExecutorRole",
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Resource": "arn:aws:iam::111111111111:role/executor",
        }
    ]


def test_the_replay_command_is_one_that_sqs_knows() -> None:
    command = shlex.split(resolved("b")["Outputs"]["ReplayCommand"]["Value"])
    assert command[:3] == ["aws", "sqs", "start-message-move-task"]
    model = botocore.session.get_session().get_service_model("sqs").operation_model("StartMessageMoveTask")
    assert model.input_shape is not None
    options = {"--" + re.sub("(?<!^)(?=[A-Z])", "-", name).lower() for name in model.input_shape.members}
    assert set(command[3::2]) <= options
    assert command[4::2] == ["FailedCallQueue.Arn", "CallQueue.Arn"]


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        ("ApiUrl", "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1", True),
        ("ApiUrl", "https://orders.example.com", True),
        ("ApiUrl", "http://127.0.0.1:4566/_aws/execute-api/a1b2c3d4/v1", True),
        ("ApiUrl", "http://emulator:4566/_aws/execute-api/a1b2c3d4/v1", True),
        ("ApiUrl", "http://orders.example.com/v1", False),
        ("ApiUrl", "https://user@orders.example.com/v1", False),
        ("ApiUrl", "https://orders.example.com/v1?x=1", False),
        ("ApiUrl", "orders.example.com", False),
        ("ExecutorRoleArn", "arn:aws:iam::111111111111:role/path/executor", True),
        ("ExecutorRoleArn", "arn:aws:sts::111111111111:assumed-role/executor/x", False),
        ("ExecutorRoleArn", "arn:aws:iam::111111111111:role/*", False),
        ("ApiRegion", "", True),
        ("ApiRegion", "us-gov-west-1", True),
        ("ApiRegion", "Ireland", False),
        ("ScheduleExpression", "cron(0 6 * * ? *)", True),
        ("ScheduleExpression", "hourly", False),
        ("CallPath", "/orders/a%b", True),
        ("CallPath", "/", True),
        ("CallPath", "orders", False),
        ("CallPath", "//host/x", False),
        ("CallPath", '/a"b', False),
        ("CallPath", "/a?b=c", False),
    ],
)
def test_parameters_are_checked_before_anything_is_deployed(parameter: str, value: str, accepted: bool) -> None:
    pattern = source("b")["Parameters"][parameter]["AllowedPattern"]
    # CloudFormation's patterns are Java's, where \w is ASCII.
    assert bool(re.fullmatch(pattern, value, re.ASCII)) is accepted
