"""The API as a consumer sees it, through real signatures."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from botocore.credentials import Credentials
from requests import Response

from cross_account_access.project import PROJECT
from cross_account_lab.lab import Lab


def place(lab: Lab, who: Credentials, key: str, **order: Any) -> Response:
    return lab.request("POST", "/orders", who, body={"sku": "tea", **order}, headers={"Idempotency-Key": key})


def pages(lab: Lab, who: Credentials, limit: int) -> Iterator[list[dict[str, Any]]]:
    query = f"?limit={limit}"
    while True:
        page = lab.request("GET", f"/orders{query}", who).json()
        yield page["orders"]
        if page["next_cursor"] is None:
            return
        query = f"?cursor={page['next_cursor'].replace('=', '%3D')}&limit={limit}"


def test_an_order_is_found_by_its_id_key_and_status(lab: Lab, me: Credentials) -> None:
    key = str(uuid4())
    order = place(lab, me, key, quantity=7).json()

    assert (order["sku"], order["quantity"], order["status"]) == ("tea", 7, "accepted")
    assert lab.request("GET", f"/orders/{order['order_id']}", me).json() == order
    accepted = lab.request("GET", "/orders?limit=100&status=accepted", me).json()["orders"]
    assert order in accepted
    assert lab.request("GET", "/orders?limit=100&status=cancelled", me).json()["orders"] == []


def test_the_same_key_and_body_is_the_same_order(lab: Lab, me: Credentials) -> None:
    key = str(uuid4())
    first, second, other = place(lab, me, key), place(lab, me, key), place(lab, me, key, quantity=2)

    assert (first.status_code, second.status_code, other.status_code) == (201, 201, 422)
    assert first.json() == second.json()
    assert other.json()["error"]["code"] == "idempotency_key_reused"


def test_pages_hold_every_order_once_newest_first(lab: Lab, me: Credentials) -> None:
    placed = [place(lab, me, str(uuid4())).json()["order_id"] for _ in range(5)]

    *full, last = pages(lab, me, limit=2)
    read = [order for page in (*full, last) for order in page]

    assert {len(page) for page in full} == {2}
    assert len(last) <= 2
    ids = [order["order_id"] for order in read]
    assert len(ids) == len(set(ids))
    assert [order_id for order_id in ids if order_id in placed] == placed[::-1]
    assert [order["created_at"] for order in read] == sorted((order["created_at"] for order in read), reverse=True)


def test_simultaneous_posts_with_one_key_make_one_order(lab: Lab, me: Credentials) -> None:
    key, sku = str(uuid4()), f"race-{uuid4()}"

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: place(lab, me, key, sku=sku), range(8)))

    created = [response for response in responses if response.status_code == 201]
    waiting = [response for response in responses if response.status_code == 409]
    assert len(created) + len(waiting) == 8
    assert len({response.json()["order_id"] for response in created}) == 1
    assert all(response.headers["Retry-After"] == "1" for response in waiting)
    assert [order["sku"] for page in pages(lab, me, limit=100) for order in page].count(sku) == 1


def test_errors_have_one_form(lab: Lab, me: Credentials) -> None:
    for route, status, code in (
        ("GET /orders?limit=101", 400, "invalid_query"),
        ("GET /orders?limit=1&limit=2", 400, "invalid_query"),
        ("GET /orders?cursor=x", 400, "invalid_cursor"),
        ("GET /orders/00000000-0000-0000-0000-000000000000", 404, "order_not_found"),
        ("POST /orders", 400, "invalid_idempotency_key"),
    ):
        method, path = route.split()
        answer = lab.request(method, path, me, body={"sku": "tea"} if method == "POST" else None)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert list(answer.json()) == ["error"]
        assert set(answer.json()["error"]) == {"code", "message", "request_id"}
        assert answer.json()["error"]["code"] == code


def test_an_invalid_order_is_refused(lab: Lab, me: Credentials) -> None:
    bodies: list[Any] = [None, [], {"sku": ""}, {"sku": "tea", "quantity": 0}, {"sku": "tea", "x": 1}]
    for body in bodies:
        answer = lab.request("POST", "/orders", me, body=body, headers={"Idempotency-Key": str(uuid4())})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_body")


# --- Through the caller -----------------------------------------------------------------------------------------------


def test_an_order_of_the_function_is_the_accounts(lab: Lab, me: Credentials) -> None:
    answer = lab.invoke({"method": "POST", "path": "/orders", "body": {"sku": "tea"}, "idempotency_key": str(uuid4())})

    assert answer["status"] == 201
    assert lab.request("GET", f"/orders/{answer['body']['order_id']}", me).json() == answer["body"]


def test_the_backends_refusal_is_shown(lab: Lab) -> None:
    assert lab.invoke({"path": "/orders/x"})["errorMessage"].startswith("The API answered 404 order_not_found")


@pytest.mark.parametrize("name", ["direct-call", "scheduled-call", "destination-envelope"])
def test_the_callers_events_succeed(lab: Lab, name: str) -> None:
    answer = lab.invoke(json.loads((PROJECT / f"events/{name}.json").read_text()))

    assert answer["status"] in {200, 201}
