"""What account B's template deploys: a caller, its schedule and queues, and a policy for people.

What each of them may do is proven in tests/templates/access, for every request; here is what no policy says.
"""

import json
import re
import shlex
from typing import Any

import botocore.session
import pytest

from cross_account_access.templates import resolved
from cross_account_api.call import Call
from tests.templates.stacks import VPC, properties, resources, written


def test_the_key_is_shown_nowhere() -> None:
    assert written("b")["Parameters"]["ApiKey"]["NoEcho"] is True


def test_the_callers_right_to_network_interfaces_outlives_them() -> None:
    found = resources("b", **VPC)
    caller = found["CallerFunction"]
    assert caller["Properties"]["VpcConfig"] == {
        "SubnetIds": ["subnet-0a1b2c3d", "subnet-1a2b3c4d"],
        "SecurityGroupIds": ["sg-0a1b2c3d"],
    }
    # It exists before the function and, a resource of its own, is deleted after it; in the role it would go first.
    assert caller["Metadata"]["CreatedAfter"] == "CallerNetworkPolicy"
    assert found["CallerFunctionRole"] == resources("b")["CallerFunctionRole"]


# --- The schedule -----------------------------------------------------------------------------------------------------


def scheduled_call(**parameters: Any) -> dict[str, Any]:
    call: dict[str, Any] = json.loads(properties("CallerFunctionSchedule", "b", **parameters)["Target"]["Input"])
    return call


def test_the_scheduled_call_is_made_of_parameters() -> None:
    call = Call.parse(scheduled_call())
    assert (call.method, call.target, call.headers, call.body) == ("GET", "/path", (), None)
    # Occurrences in two regions have different keys.
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


# --- Retries and queues -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ignores", "repetitions"), [("false", (2, 10, 5)), ("true", (0, 0, 1))])
def test_an_api_that_ignores_idempotency_keys_gets_no_call_twice(
    ignores: str, repetitions: tuple[int, int, int]
) -> None:
    found = {name: item["Properties"] for name, item in resources("b", ApiIgnoresIdempotencyKeys=ignores).items()}
    assert repetitions == (
        found["CallerFunctionEventInvokeConfig"]["MaximumRetryAttempts"],
        found["CallerFunctionSchedule"]["Target"]["RetryPolicy"]["MaximumRetryAttempts"],
        found["CallQueue"]["RedrivePolicy"]["maxReceiveCount"],
    )


def test_failed_asynchronous_calls_are_kept_unchanged() -> None:
    assert properties("CallerFunction", "b")["DeadLetterConfig"] == {"TargetArn": "FailedCallQueue.Arn"}
    config = properties("CallerFunctionEventInvokeConfig", "b")
    assert config["MaximumEventAgeInSeconds"] == 21600
    assert not config.get("DestinationConfig"), "a destination would wrap the call in an envelope"


def test_queued_calls_are_retried_one_by_one_and_kept_in_the_end() -> None:
    mapping, queue = properties("CallerFunctionQueue", "b"), properties("CallQueue", "b")
    assert mapping["EventSourceArn"] == "CallQueue.Arn"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 5}
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == "FailedCallQueue.Arn"
    assert queue["VisibilityTimeout"] >= 6 * properties("CallerFunction", "b")["Timeout"]


def test_failed_calls_are_kept_as_long_as_sqs_can() -> None:
    days = 24 * 60 * 60
    failed = properties("FailedCallQueue", "b")["MessageRetentionPeriod"]
    assert failed == 14 * days
    assert failed - properties("CallQueue", "b")["MessageRetentionPeriod"] >= 10 * days


def test_queues_are_encrypted_and_have_a_policy() -> None:
    queues = ["CallQueue", "FailedCallQueue"]
    assert all(properties(name, "b")["SqsManagedSseEnabled"] is True for name in queues)
    assert properties("QueuePolicy", "b")["Queues"] == queues


def test_an_attempt_that_times_out_can_be_repeated() -> None:
    timeout, parameter = properties("CallerFunction", "b")["Timeout"], written("b")["Parameters"]["ApiTimeout"]
    assert timeout > 2 * parameter["Default"]
    assert timeout > parameter["MaxValue"], "a single attempt always fits"


def test_the_replay_command_is_one_that_sqs_knows() -> None:
    command = shlex.split(resolved("b")["Outputs"]["ReplayCommand"]["Value"])
    assert command[:3] == ["aws", "sqs", "start-message-move-task"]
    model = botocore.session.get_session().get_service_model("sqs").operation_model("StartMessageMoveTask")
    assert model.input_shape is not None
    options = {"--" + re.sub("(?<!^)(?=[A-Z])", "-", name).lower() for name in model.input_shape.members}
    assert set(command[3::2]) <= options
    assert command[4::2] == ["FailedCallQueue.Arn", "CallQueue.Arn"]


# --- The policy for people --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "given"), [("", None), ("my-user", ["my-user"]), ("ann,bob", ["ann", "bob"])])
def test_only_named_users_and_roles_have_the_access_policy(names: str, given: list[str] | None) -> None:
    policy = properties("ApiAccessPolicy", "b", ApiUserNames=names, ApiRoleNames=names)
    assert policy.get("Users") == policy.get("Roles") == given
