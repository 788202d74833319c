"""The caller as deployed: it assumes the role and makes calls."""

import json
from typing import Any
from uuid import uuid4

import pytest

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES, Lab


def test_the_api_knows_the_caller_by_its_session_name(own_lab: Lab) -> None:
    # As a destination of a failed call has it.
    answer = own_lab.invoke({"version": "1.0", "requestContext": {}, "requestPayload": {"path": "/echo"}})

    assert (answer["status"], answer["attempts"]) == (200, 1)
    assert answer["body"]["account_id"] == "222222222222"
    assert answer["body"]["session_name"] == f"222222222222-eu-west-1-{STACK_NAMES[ACCOUNT_B]}"


# The emulator reports every error type as Runtime.HandlerError; the messages differ.
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"method": "DELETE", "path": "/echo/x"}, "The API answered 403 AccessDeniedException"),
        ({"path": "/nowhere"}, "The API answered 403"),
        ({"path": "echo"}, "path is"),
        ({"path": "/echo", "colour": "red"}, "call is an object with the unknown field"),
        ([], "call is"),
    ],
)
def test_a_call_that_fails_has_a_reason(own_lab: Lab, call: Any, message: str) -> None:
    assert own_lab.invoke(call)["errorMessage"].startswith(message)


def test_nothing_secret_is_logged(own_lab: Lab) -> None:
    secret = f"secret-{uuid4()}"
    own_lab.invoke(
        {
            "method": "POST",
            "path": "/echo",
            "query": {"q": secret},
            "headers": {"X-Note": secret},
            "body": {"name": secret},
            "idempotency_key": str(uuid4()),
        }
    )

    lines = [
        event["message"]
        for logs in (own_lab.session(account).client("logs") for account in (ACCOUNT_A, ACCOUNT_B))
        for group in logs.describe_log_groups()["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]

    assert any('"path":"/echo"' in line for line in lines)
    for forbidden in (secret, "AWS4-HMAC-SHA256", own_lab.external_id, "ASIA", "AKIA"):
        assert not [line for line in lines if forbidden in line]


def test_the_schedule_makes_the_call_of_the_parameters(own_lab: Lab) -> None:
    scheduler = own_lab.session(ACCOUNT_B).client("scheduler")
    [entry] = (found for found in scheduler.list_schedules()["Schedules"] if STACK_NAMES[ACCOUNT_B] in str(found))
    schedule = scheduler.get_schedule(Name=entry["Name"], GroupName=entry["GroupName"])
    target = schedule["Target"]

    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert schedule["State"] == "ENABLED"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert target["Arn"].endswith(f":function:{own_lab.outputs[ACCOUNT_B]['CallerFunctionName']}")
    assert f":role/{STACK_NAMES[ACCOUNT_B]}-ScheduleRole-" in target["RoleArn"]
    assert target["DeadLetterConfig"] == {"Arn": own_lab.outputs[ACCOUNT_B]["FailedCallQueueArn"]}
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert own_lab.invoke(json.loads(target["Input"]))["status"] == 200
