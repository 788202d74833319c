"""The handler, called as API Gateway calls it."""

import json
from typing import Any

import pytest

CONSUMER = "222222222222"
ROLE_ID = "AROAEXECUTOREXAMPLE1"


@pytest.fixture(autouse=True)
def _executor_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTOR_ROLE_IDS", ROLE_ID)


def call(method: str, resource: str, role_id: str = ROLE_ID) -> tuple[int, dict[str, Any]]:
    """Send a request of a session of an executor role, and return status and body."""
    from backend.handler import handler  # reads its settings when it is imported

    session = f"{CONSUMER}-test"
    identity = {
        "caller": f"{role_id}:{session}",
        "userArn": f"arn:aws:sts::111111111111:assumed-role/executor/{session}",
    }
    context = {"requestId": "c6af9ac6", "identity": identity}
    response = handler({"httpMethod": method, "resource": resource, "headers": {}, "requestContext": context}, None)
    return response["statusCode"], json.loads(response["body"])


def test_a_consumer_is_known_by_its_account() -> None:
    assert call("GET", "/whoami") == (200, {"account_id": CONSUMER, "session_name": f"{CONSUMER}-test"})


def test_a_consumer_lists_the_items() -> None:
    assert call("GET", "/orders") == (200, {"items": []})


def test_a_session_of_another_role_is_refused() -> None:
    status, body = call("GET", "/orders", role_id="AROASOMEONEELSE12345")
    assert (status, body["error"]["code"]) == (403, "forbidden")


def test_an_unknown_route_is_refused() -> None:
    status, body = call("DELETE", "/orders")
    assert (status, body["error"]["code"]) == (404, "route_not_found")
