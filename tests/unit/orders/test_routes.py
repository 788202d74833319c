"""What consumers get, and that they get only their own data."""

import re
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from tests.unit.orders.support import Api, B, C, Counted

UNKNOWN = "00000000-0000-5000-8000-000000000000"


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
@pytest.mark.parametrize("order_id", [UNKNOWN, "x", UNKNOWN.replace("0", "A")])
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


@pytest.mark.parametrize("limit", [3, 7])
@pytest.mark.parametrize("query", [{}, {"status": "accepted"}])
def test_pages_hold_every_order_once_newest_first(api: Api, query: dict[str, str], limit: int) -> None:
    orders = [api.order(f"key {i}", f"sku-{i}").body for i in range(7)]
    api.order("foreign", account=C)
    pages = all_pages(api, limit=str(limit), **query)
    assert [order for page in pages for order in page] == orders[::-1]
    assert all(len(page) <= limit for page in pages)


def test_pages_hold_orders_of_the_same_instant(api: Api, dynamodb: DynamoDBClient) -> None:
    ids = {api.order(f"key {i}").body["order_id"] for i in range(5)}
    for order_id in ids:
        dynamodb.update_item(
            TableName="orders",
            Key={"consumer": {"S": B}, "order_id": {"S": order_id}},
            UpdateExpression="SET created_at = :instant",
            ExpressionAttributeValues={":instant": {"S": "2026-01-15T08:00:00.000000Z"}},
        )
    listed = [order["order_id"] for page in all_pages(api, limit="2") for order in page]
    assert len(listed) == len(set(listed))
    assert set(listed) == ids


def test_a_cursor_outlives_the_orders_around_it(api: Api) -> None:
    orders = [api.order(f"key {i}").body for i in range(4)]
    first = api.orders(limit="2", status="accepted").body
    for order in first["orders"]:
        api("DELETE", f"/orders/{order['order_id']}")
    second = api.orders(limit="2", status="accepted", cursor=first["next_cursor"]).body
    assert second["orders"] == orders[1::-1]


def test_reads_are_consistent_and_lists_read_only_what_they_show(api: Api, dynamodb: DynamoDBClient) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        calls.append((model.name, params))

    order_id = api.order("key").body["order_id"]
    dynamodb.meta.events.register("provide-client-params.dynamodb", record)
    api("GET", f"/orders/{order_id}")
    api.orders()
    api.orders(status="accepted", limit="5")
    api("DELETE", f"/orders/{order_id}")
    dynamodb.meta.events.unregister("provide-client-params.dynamodb", record)

    get, newest, accepted, cancel = calls
    assert (get[0], get[1]["ConsistentRead"]) == ("GetItem", True)
    assert (newest[0], newest[1]["IndexName"], newest[1]["Limit"]) == ("Query", "ByCreation", 20)
    assert (accepted[0], accepted[1]["IndexName"], accepted[1]["Limit"]) == ("Query", "ByStatus", 5)
    assert "FilterExpression" not in newest[1] | accepted[1]
    assert cancel[0] == "UpdateItem"
