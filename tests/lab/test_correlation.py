"""One call, traced through the logs of both accounts."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES, Lab
from tests.support.waiting import eventually


def log_lines(lab: Lab, account: str) -> list[dict[str, Any]]:
    """The structured lines that the account's function logged, metrics left out."""
    session = lab.session(account)
    functions = session.client("lambda").list_functions()["Functions"]
    (function,) = (found for found in functions if found["FunctionName"].startswith(STACK_NAMES[account]))
    group = function["LoggingConfig"]["LogGroup"]
    logs = session.client("logs")
    messages = [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]
    lines = [json.loads(message) for message in messages if message.startswith("{")]
    return [line for line in lines if "_aws" not in line]


def test_a_call_is_found_from_the_callers_line_to_the_backends(own_lab: Lab) -> None:
    key = f"correlation/{uuid4()}"
    answer = own_lab.invoke({"path": "/echo", "idempotency_key": key})

    (call,) = (line for line in log_lines(own_lab, ACCOUNT_B) if line.get("idempotency_key") == key)
    assert (call["message"], call["status"], call["path"]) == ("call succeeded", 200, "/echo")
    assert call["correlation_id"] == call["function_request_id"]
    assert call["api_request_id"] == answer["request_id"]

    (request,) = (line for line in log_lines(own_lab, ACCOUNT_A) if line["correlation_id"] == call["correlation_id"])
    assert (request["route"], request["status"], request["consumer_account"]) == ("GET /echo", 200, "222222222222")
    # $context.requestId, which the access log calls by the same name; the emulator writes no access log.
    assert request["request_id"] == answer["body"]["request_id"]


def test_a_scheduled_call_is_found_in_both_accounts(own_lab: Lab) -> None:
    scheduler = own_lab.session(ACCOUNT_B).client("scheduler")
    (listed,) = (found for found in scheduler.list_schedules()["Schedules"] if STACK_NAMES[ACCOUNT_B] in str(found))
    schedule = scheduler.get_schedule(Name=listed["Name"], GroupName=listed["GroupName"])
    key = f"correlation/{uuid4()}"
    call = json.loads(schedule["Target"]["Input"]) | {"idempotency_key": key}
    # An additional schedule, with the target and the role of the stack's own.
    scheduler.create_schedule(
        Name="soon",
        ScheduleExpression=f"at({datetime.now(UTC) + timedelta(seconds=3):%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow=schedule["FlexibleTimeWindow"],
        Target={"Arn": schedule["Target"]["Arn"], "RoleArn": schedule["Target"]["RoleArn"], "Input": json.dumps(call)},
    )

    def made() -> list[dict[str, Any]]:
        return [line for line in log_lines(own_lab, ACCOUNT_B) if line.get("idempotency_key") == key]

    try:
        first, *_ = eventually(made)
    finally:
        scheduler.delete_schedule(Name="soon")
    assert first["message"] == "call succeeded"
    served = [line for line in log_lines(own_lab, ACCOUNT_A) if line["correlation_id"] == first["correlation_id"]]
    assert [(line["route"], line["consumer_account"]) for line in served] == [("GET /echo", "222222222222")]


def test_a_refused_call_is_found_by_its_request_id(own_lab: Lab) -> None:
    key = f"correlation/{uuid4()}"
    failed = own_lab.invoke({"method": "DELETE", "path": "/echo/x", "idempotency_key": key})

    (call,) = (line for line in log_lines(own_lab, ACCOUNT_B) if line.get("idempotency_key") == key)
    assert (call["message"], call["level"], call["status"]) == ("call failed", "ERROR", 403)
    assert call["reason"] == failed["errorMessage"]
    # It never reached the backend; the access log has the same request id.
    assert f"(request id {call['api_request_id']})" in call["reason"]
    assert not [line for line in log_lines(own_lab, ACCOUNT_A) if line["correlation_id"] == call["correlation_id"]]
