"""The events that `sam local invoke` and the README use get the documented responses, behind any custom domain."""

from typing import Any

import pytest

from tests.unit.orders.support import EVENTS, Api, Response, load_event

RESPONSES = {
    "whoami": 200,
    "create-order": 201,
    "list-orders": 200,
    "get-order": 200,
    "cancel-order": 200,
    "other-consumer": 404,
    "bad-body": 400,
}


def test_every_event_is_here() -> None:
    assert {path.stem.removeprefix("api-") for path in EVENTS.glob("api-*.json")} == set(RESPONSES)


@pytest.mark.parametrize(("name", "status"), RESPONSES.items())
def test_event(api: Api, name: str, status: int) -> None:
    order = api.send(load_event("create-order")).body
    response = api.send(load_event(name))
    assert response.status == status
    match name:
        case "whoami":
            assert response.body == {
                "account_id": "222222222222",
                "session_name": "222222222222-orders-caller",
                "request_id": load_event(name)["requestContext"]["requestId"],
            }
        case "create-order" | "get-order":
            assert response.body == order
        case "list-orders":
            assert response.body == {"orders": [order], "next_cursor": None}
        case "cancel-order":
            assert response.body == order | {"status": "cancelled"}
        case "other-consumer":
            assert response.code == "order_not_found"
        case _:
            assert response.code == "invalid_body"


def on_custom_domain(name: str, base_path: str) -> dict[str, Any]:
    """Return an event as it arrives through a custom domain, whose base path stays in `path`."""
    event = load_event(name)
    event["path"] = event["requestContext"]["path"] = base_path + event["path"]
    event["requestContext"]["domainName"] = "api.example.org"
    event["requestContext"]["domainPrefix"] = "api"
    return event


@pytest.mark.parametrize("base_path", ["/shop/v1", "/v1", "/orders", "/whoami", "/orders/x"])
@pytest.mark.parametrize("name", RESPONSES)
def test_a_base_path_changes_no_response(api: Api, name: str, base_path: str) -> None:
    api.send(load_event("create-order"))

    def responses(base_path: str) -> list[Response]:
        return [api.send(on_custom_domain(name, base_path)), api.send(on_custom_domain("list-orders", base_path))]

    assert responses(base_path) == responses("")


@pytest.mark.parametrize("name", RESPONSES)
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
