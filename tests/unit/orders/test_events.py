"""The events that `sam local invoke` and the README use get the documented responses, behind any custom domain."""

from tests.unit.orders.support import EVENTS, Api, Response, load_event

RESPONSES: dict[str, tuple[int, str | None]] = {
    "whoami": (200, None),
    "create-order": (201, None),
    "list-orders": (200, None),
    "get-order": (200, None),
    "cancel-order": (200, None),
    "other-consumer": (404, "order_not_found"),
    "bad-body": (400, "invalid_body"),
}


def test_the_events_get_their_responses(api: Api) -> None:
    responses = {name: api.send(load_event(name)) for name in RESPONSES}

    assert {f"api-{name}.json" for name in RESPONSES} == {path.name for path in EVENTS.glob("api-*.json")}
    found = {name: (each.status, each.body.get("error", {}).get("code")) for name, each in responses.items()}
    assert found == RESPONSES
    order, event = responses["create-order"].body, load_event("whoami")
    assert responses["get-order"].body == order
    assert responses["list-orders"].body == {"orders": [order], "next_cursor": None}
    assert responses["cancel-order"].body == order | {"status": "cancelled"}
    assert responses["whoami"].body == {
        "account_id": "222222222222",
        "session_name": "222222222222-orders-caller",
        "request_id": event["requestContext"]["requestId"],
    }


def test_the_base_path_of_a_custom_domain_changes_no_response(api: Api) -> None:
    def responses(base_path: str) -> list[Response]:
        events = [load_event(name) for name in RESPONSES]
        for event in events:
            event["path"] = event["requestContext"]["path"] = base_path + event["path"]
        return [api.send(event) for event in events]

    assert responses("/orders/x")[0].status == 200
    assert responses("/orders/x") == responses("")
