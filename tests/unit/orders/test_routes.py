"""What consumers get, and that they get only their own data."""

import re
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from tests.unit.orders.support import Api, B, C, Counted


def all_pages(api: Api, **query: str) -> list[list[dict[str, Any]]]:
    pages, cursor = [], None
    while True:
        response = api.orders(**query, **({"cursor": cursor} if cursor else {}))
        assert response.status == 200
        pages.append(response.body["orders"])
        if (cursor := response.body["next_cursor"]) is None:
            return pages


def test_an_order_is_created_read_listed_and_cancelled(api: Api, counted: Counted) -> None:
    created = api.order("key", "ABC-1", quantity=3)
    order = created.body
    assert created.status == 201
    assert set(order) == {"order_id", "sku", "quantity", "status", "created_at"}
    assert (order["sku"], order["quantity"], order["status"]) == ("ABC-1", 3, "accepted")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", order["created_at"])
    assert api("GET", f"/orders/{order['order_id']}").body == order
    assert api.orders().body == {"orders": [order], "next_cursor": None}

    for _ in range(2):
        cancelled = api("DELETE", f"/orders/{order['order_id']}")
        assert (cancelled.status, cancelled.body) == (200, order | {"status": "cancelled"})
    assert api("GET", f"/orders/{order['order_id']}").body == cancelled.body
    assert api.orders(status="accepted").body["orders"] == []
    assert api.orders(status="cancelled").body["orders"] == [cancelled.body]
    assert counted() == {"OrderAccepted": 1, "OrderCancelled": 2, "RequestServed": 8}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("order_id", ["00000000-0000-5000-8000-000000000000", "x"])
def test_an_unknown_order_is_not_found(api: Api, dynamodb: DynamoDBClient, method: str, order_id: str) -> None:
    response = api(method, f"/orders/{order_id}")
    assert (response.status, response.code) == (404, "order_not_found")
    assert dynamodb.scan(TableName="orders")["Count"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/nowhere"), ("PUT", "/orders"), ("POST", "/whoami"), ("GET", "/orders/a/b")],
)
def test_an_unknown_route_is_not_found(api: Api, counted: Counted, method: str, path: str) -> None:
    response = api(method, path)
    assert (response.status, response.code) == (404, "route_not_found")
    assert counted() == {"RequestRefused": 1}


def test_consumers_do_not_see_each_other(api: Api) -> None:
    mine, theirs = api.order("same key").body, api.order("same key", account=C).body
    assert mine["order_id"] != theirs["order_id"]
    for account, own, foreign in ((B, mine, theirs), (C, theirs, mine)):
        assert api("GET", f"/orders/{foreign['order_id']}", account=account).code == "order_not_found"
        assert api("DELETE", f"/orders/{foreign['order_id']}", account=account).code == "order_not_found"
        for query in ({}, {"status": "accepted"}):
            assert api.orders(account, **query).body["orders"] == [own]


@pytest.mark.parametrize("status", [None, "accepted"])
def test_a_foreign_cursor_discloses_nothing(api: Api, status: str | None) -> None:
    query = {"status": status} if status else {}
    mine = [api.order(f"key {i}").body for i in range(3)]
    for i in range(3):
        api.order(f"key {i}", account=C)
    cursor = api.orders(C, limit="1", **query).body["next_cursor"]
    assert api.orders(B, cursor=cursor, **query).body["orders"] == mine[::-1]


@pytest.mark.parametrize(("query", "limit"), [({}, 3), ({"status": "accepted"}, 7)])
def test_pages_hold_every_order_once_newest_first(api: Api, query: dict[str, str], limit: int) -> None:
    orders = [api.order(f"key {i}", f"sku-{i}").body for i in range(7)]
    api.order("foreign", account=C)
    pages = all_pages(api, limit=str(limit), **query)
    assert [order for page in pages for order in page] == orders[::-1]
    assert all(len(page) <= limit for page in pages)


def test_reads_are_consistent_and_lists_read_only_what_they_show(api: Api, dynamodb: DynamoDBClient) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        calls.append((model.name, params))

    dynamodb.meta.events.register("provide-client-params.dynamodb", record)
    api("GET", f"/orders/{api.order('key').body['order_id']}")
    api.orders(status="accepted", limit="5")
    dynamodb.meta.events.unregister("provide-client-params.dynamodb", record)

    *_, get, query = calls
    assert (get[0], get[1]["ConsistentRead"]) == ("GetItem", True)
    assert (query[0], query[1]["IndexName"], query[1]["Limit"]) == ("Query", "ByStatus", 5)
    assert "FilterExpression" not in query[1]
