"""One call, traced through the logs of both accounts."""

import json
from typing import Any
from uuid import uuid4

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES, Lab


def log_line(lab: Lab, account: str, field: str, value: str) -> dict[str, Any]:
    """The one structured line that the account's function logged with a field of this value."""
    session = lab.session(account)
    functions = session.client("lambda").list_functions()["Functions"]
    (function,) = (found for found in functions if found["FunctionName"].startswith(STACK_NAMES[account]))
    events = session.client("logs").filter_log_events(logGroupName=function["LoggingConfig"]["LogGroup"])["events"]
    lines: list[dict[str, Any]] = [json.loads(event["message"]) for event in events if event["message"].startswith("{")]
    (line,) = (line for line in lines if line.get(field) == value)
    return line


def test_a_call_is_found_from_the_callers_line_to_the_backends(lab: Lab) -> None:
    key = f"correlation/{uuid4()}"
    answer = lab.invoke({"path": "/whoami", "idempotency_key": key})

    call = log_line(lab, ACCOUNT_B, "idempotency_key", key)
    assert (call["message"], call["status"], call["path"]) == ("call succeeded", 200, "/whoami")
    assert call["correlation_id"] == call["function_request_id"]
    assert call["api_request_id"] == answer["request_id"]

    request = log_line(lab, ACCOUNT_A, "correlation_id", call["correlation_id"])
    assert (request["route"], request["status"], request["consumer_account"]) == ("GET /whoami", 200, "222222222222")
    # $context.requestId, which the access log calls by the same name; the emulator writes no access log.
    assert request["request_id"] == answer["body"]["request_id"]
