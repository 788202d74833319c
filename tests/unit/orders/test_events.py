"""The events that `sam local invoke` and the README use are answered as they say."""

from __future__ import annotations

import pytest

from tests.unit.orders.support import EVENTS, Api, load_event

ANSWERS = {
    "whoami": 200,
    "create-order": 201,
    "list-orders": 200,
    "get-order": 200,
    "cancel-order": 200,
    "other-consumer": 404,
    "bad-body": 400,
}


def test_every_event_is_here() -> None:
    assert {path.stem.removeprefix("api-") for path in EVENTS.glob("api-*.json")} == set(ANSWERS)


@pytest.mark.parametrize(("name", "status"), ANSWERS.items())
def test_event(api: Api, name: str, status: int) -> None:
    order = api.send(load_event("create-order")).body
    answer = api.send(load_event(name))
    assert answer.status == status
    match name:
        case "whoami":
            assert answer.body == {
                "account_id": "222222222222",
                "session_name": "222222222222-orders-caller",
                "request_id": load_event(name)["requestContext"]["requestId"],
            }
        case "create-order" | "get-order":
            assert answer.body == order
        case "list-orders":
            assert answer.body == {"orders": [order], "next_cursor": None}
        case "cancel-order":
            assert answer.body == order | {"status": "cancelled"}
        case "other-consumer":
            assert answer.code == "order_not_found"
        case _:
            assert answer.code == "invalid_body"


@pytest.mark.parametrize("name", ANSWERS)
def test_event_is_complete(name: str) -> None:
    event = load_event(name)
    context, identity = event["requestContext"], event["requestContext"]["identity"]
    assert event["multiValueHeaders"] == {header: [value] for header, value in event["headers"].items()}
    assert "Authorization" not in event["headers"]
    assert (event["resource"], event["httpMethod"]) == (context["resourcePath"], context["httpMethod"])
    assert event["resource"].format(**event["pathParameters"] or {}) == event["path"]
    assert context["path"] == f"/{context['stage']}{event['path']}"
    assert context["accountId"] == identity["accountId"] == "111111111111"
    assert identity["caller"] == identity["user"]
    assert identity["userArn"].endswith("/" + identity["caller"].partition(":")[2])
