"""The events that `sam local invoke` and the README use get the documented responses, behind any custom domain."""

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


@pytest.mark.parametrize("base_path", ["/shop/v1", "/whoami", "/orders/x"])
def test_the_base_path_of_a_custom_domain_changes_no_response(api: Api, base_path: str) -> None:
    def responses(base_path: str) -> list[Response]:
        events = [load_event(name) for name in RESPONSES]
        for event in events:
            event["path"] = event["requestContext"]["path"] = base_path + event["path"]
        return [api.send(event) for event in events]

    assert responses(base_path)[0].status == 200
    assert responses(base_path) == responses("")


@pytest.mark.parametrize("name", [path.stem.removeprefix("api-") for path in EVENTS.glob("api-*.json")])
def test_event_is_complete(name: str) -> None:
    event = load_event(name)
    context, identity = event["requestContext"], event["requestContext"]["identity"]
    assert name in RESPONSES
    assert event["multiValueHeaders"] == {header: [value] for header, value in event["headers"].items()}
    assert "Authorization" not in event["headers"]
    assert (event["resource"], event["httpMethod"]) == (context["resourcePath"], context["httpMethod"])
    assert event["resource"].format(**event["pathParameters"] or {}) == event["path"]
    assert context["path"] == f"/{context['stage']}{event['path']}"
    assert context["accountId"] == identity["accountId"] == "111111111111"
    assert identity["caller"] == identity["user"]
    assert identity["userArn"].endswith("/" + identity["caller"].partition(":")[2])
