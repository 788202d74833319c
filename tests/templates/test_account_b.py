"""What account B's template deploys: a caller that may assume one role, its schedule, queues, and people's policy."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import botocore.session
import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from cross_account_access.templates import REGION, resolved, rules, source
from cross_account_api.call import Call

# With the two permissions that sessions with tags or a source identity need as well.
ASSUME = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
DIRECT: dict[str, Any] = {
    "ExecutorRoleArn": "",
    "ExternalId": "",
    "GrantedMethodArns": "arn:aws:execute-api:eu-west-1:111111111111:a1b2c3d4e5/v1/GET/whoami",
}


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
        "AssumeExecutorRole": (ASSUME, "arn:aws:iam::111111111111:role/executor"),
        "WriteLogs": (["logs:CreateLogStream", "logs:PutLogEvents"], "CallerLogGroup.Arn"),
        "WriteTraces": (["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
        "ReceiveCalls": (["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], "CallQueue.Arn"),
        "KeepFailedCalls": ("sqs:SendMessage", "FailedCallQueue.Arn"),
    }


def test_the_caller_gets_account_as_outputs_under_their_names(resources: dict[str, Any]) -> None:
    variables = resources["CallerFunction"]["Properties"]["Environment"]["Variables"]
    assert {name: value for name, value in variables.items() if not name.startswith("POWERTOOLS_")} == {
        "API_URL": "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1",
        "API_REGION": "",
        "EXECUTOR_ROLE_ARN": "arn:aws:iam::111111111111:role/executor",
        "EXTERNAL_ID": "external-id",
        "SESSION_NAME": "222222222222-eu-west-1-stack-b",
        "API_TIMEOUT": 30,
        "API_IGNORES_IDEMPOTENCY_KEYS": "false",
        "FAILED_CALL_QUEUE_URL": "FailedCallQueue",
    }


def test_an_api_that_ignores_idempotency_keys_gets_no_call_twice() -> None:
    def repetitions(ignores: str) -> tuple[int, int, int]:
        found = resolved("b", ApiIgnoresIdempotencyKeys=ignores)["Resources"]
        schedule = next(item for item in found.values() if item["Type"] == "AWS::Scheduler::Schedule")
        return (
            found["CallerFunctionEventInvokeConfig"]["Properties"]["MaximumRetryAttempts"],
            schedule["Properties"]["Target"]["RetryPolicy"]["MaximumRetryAttempts"],
            found["CallQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"],
        )

    assert (repetitions("false"), repetitions("true")) == ((2, 10, 5), (0, 0, 1))


def test_without_a_role_the_function_may_invoke_granted_methods() -> None:
    found = resolved("b", **DIRECT)["Resources"]
    assert found["CallerFunction"]["Properties"]["Environment"]["Variables"]["EXECUTOR_ROLE_ARN"] == ""
    for policy in (
        found["CallerFunctionRole"]["Properties"]["Policies"][0]["PolicyDocument"],
        found["ApiAccessPolicy"]["Properties"]["PolicyDocument"],
    ):
        granted = {item["Sid"]: item for item in policy["Statement"]}
        assert "AssumeExecutorRole" not in granted
        assert granted["InvokeGrantedMethods"]["Action"] == "execute-api:Invoke"
        assert granted["InvokeGrantedMethods"]["Resource"] == [DIRECT["GrantedMethodArns"]]


def scheduled_call(**parameters: Any) -> dict[str, Any]:
    schedule = resolved("b", **parameters)["Resources"]["CallerFunctionSchedule"]["Properties"]
    call: dict[str, Any] = json.loads(schedule["Target"]["Input"])
    return call


def test_the_scheduled_call_is_made_of_parameters() -> None:
    call = Call.parse(scheduled_call())
    assert (call.method, call.target, call.headers, call.body) == ("GET", "/path", (), None)
    assert call.idempotency_key == "eu-west-1/stack-b/<aws.scheduler.scheduled-time>"

    call = Call.parse(
        scheduled_call(
            CallMethod="POST",
            CallPath="/orders",
            CallQuery='{"dry-run": true, "tag": ["a", "b"]}',
            CallHeaders='{"X-Team": "billing"}',
            CallBody='{"sku": "A-1"}',
        )
    )
    assert (call.method, call.target, call.headers, call.body) == (
        "POST",
        "/orders?dry-run=true&tag=a&tag=b",
        (("X-Team", "billing"),),
        b'{"sku":"A-1"}',
    )


def test_occurrences_in_two_regions_have_different_keys() -> None:
    assert scheduled_call()["idempotency_key"].split("/")[:2] == ["eu-west-1", "stack-b"]


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


def test_only_this_accounts_scheduler_may_use_the_schedules_role(resources: dict[str, Any]) -> None:
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


def test_failed_asynchronous_calls_are_kept_unchanged(resources: dict[str, Any]) -> None:
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


def test_an_attempt_that_times_out_can_be_repeated(resources: dict[str, Any]) -> None:
    timeout = resources["CallerFunction"]["Properties"]["Timeout"]
    parameter = source("b")["Parameters"]["ApiTimeout"]
    assert timeout > 2 * parameter["Default"]
    assert timeout > parameter["MaxValue"], "a single attempt always fits"


@pytest.mark.parametrize(("names", "given"), [("", None), ("my-user", ["my-user"]), ("ann,bob", ["ann", "bob"])])
def test_people_and_roles_may_assume_the_executor_role_only(names: str, given: list[str] | None) -> None:
    policy = resolved("b", ApiUserNames=names, ApiRoleNames=names)["Resources"]["ApiAccessPolicy"]["Properties"]
    assert policy.get("Users") == policy.get("Roles") == given
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "AssumeExecutorRole",
            "Effect": "Allow",
            "Action": ASSUME,
            "Resource": "arn:aws:iam::111111111111:role/executor",
        }
    ]


def test_the_access_policy_may_be_named_for_permission_sets() -> None:
    def name(**parameters: Any) -> str | None:
        properties = resolved("b", **parameters)["Resources"]["ApiAccessPolicy"]["Properties"]
        found: str | None = properties.get("ManagedPolicyName")
        return found

    assert name() is None
    assert name(ApiAccessPolicyName="call-orders") == "call-orders"


def test_the_access_policy_can_be_left_out() -> None:
    """As a deployment through GitHub does; nothing else changes."""
    whole, without = resolved("b"), resolved("b", CreateApiAccessPolicy="false")
    assert whole["Resources"].keys() - without["Resources"].keys() == {"ApiAccessPolicy"}
    assert whole["Outputs"].keys() - without["Outputs"].keys() == {"ApiAccessPolicyArn"}
    assert {name: whole["Resources"][name] for name in without["Resources"]} == without["Resources"]


def test_the_access_policy_is_never_replaced() -> None:
    """Its description is create-only, and CloudFormation cannot replace a policy that ApiAccessPolicyName names."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, "AWS::IAM::ManagedPolicy").schema
    fixed = {path.rpartition("/")[2] for path in schema["createOnlyProperties"]} - {"ManagedPolicyName"}
    properties = source("b")["Resources"]["ApiAccessPolicy"]["Properties"]
    assert {name: properties[name] for name in fixed & set(properties)} == {
        "Description": "Gives people and workloads the same access to account A's API as CallerFunction."
    }


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
        ("ApiUrl", "https://127.0.0.1:4566/_aws/execute-api/a1b2c3d4/v1", True),
        ("ApiUrl", "http://emulator:4566/_aws/execute-api/a1b2c3d4/v1", True),
        ("ApiUrl", "http://orders.example.com/v1", False),
        ("ApiUrl", "https://user@orders.example.com/v1", False),
        ("ApiUrl", "https://orders.example.com/v1?x=1", False),
        ("ApiUrl", "orders.example.com", False),
        ("ExecutorRoleArn", "", True),
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
        ("CallPath", "/a//b", False),
        ("CallPath", "/a/../b", False),
        ("CallPath", "/a/.", False),
        ("CallPath", "/.well-known/a..b", True),
        ("CallBody", "null", True),
        ("CallBody", '{"sku": "A-1"}', True),
        ("CallBody", '[1, {"a": "b"}]', True),
        ("CallBody", '"text"', True),
        ("CallBody", "-1.5e3", True),
        # What shells and tools turn JSON into: without its quotes, or cut off at the first of them.
        ("CallBody", "{sku: A-1}", False),
        ("CallBody", "{", False),
        ("CallBody", '{"sku"', False),
        ("CallBody", "text", False),
        ("CallQuery", '{"status": "open"}', True),
        ("CallQuery", "{}", True),
        ("CallQuery", "{status: open}", False),
        ("CallQuery", "status=open", False),
        ("CallHeaders", '{"Accept": "text/csv"}', True),
        ("CallHeaders", "[]", False),
        ("GrantedMethodArns", "", True),
        ("GrantedMethodArns", "arn:aws:execute-api:eu-west-1:111111111111:a1b2c3d4e5/v1/GET/orders/*", True),
        ("GrantedMethodArns", "*", False),
        ("GrantedMethodArns", "arn:aws:execute-api:*:*:*", False),
    ],
)
def test_parameters_are_checked_before_anything_is_deployed(parameter: str, value: str, accepted: bool) -> None:
    pattern = source("b")["Parameters"][parameter]["AllowedPattern"]
    # CloudFormation's patterns are Java's, where \w is ASCII.
    assert bool(re.fullmatch(pattern, value, re.ASCII)) is accepted


@pytest.mark.parametrize(
    ("parameters", "accepted"),
    [
        ({}, True),
        ({"CallMethod": "POST", "CallBody": '{"sku": "A-1"}'}, True),
        ({"CallMethod": "GET", "CallBody": '"{}"'}, False),
        ({"CallMethod": "HEAD", "CallBody": "{}"}, False),
        (DIRECT, True),
        ({"ExecutorRoleArn": "", "ExternalId": ""}, False),
        ({"ExternalId": ""}, False),
    ],
)
def test_parameters_are_checked_together(parameters: dict[str, str], accepted: bool) -> None:
    assert all(rules("b", **parameters).values()) is accepted
