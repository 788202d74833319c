"""The API as a consumer sees it, through real signatures."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from botocore.credentials import Credentials
from requests import Response

from cross_account_lab.lab import Lab


def place(lab: Lab, who: Credentials, key: str, **order: Any) -> Response:
    return lab.request("POST", "/orders", who, body={"sku": "tea", **order}, headers={"Idempotency-Key": key})


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


def test_simultaneous_posts_with_one_key_make_one_order(lab: Lab, me: Credentials) -> None:
    key, sku = str(uuid4()), f"race-{uuid4()}"

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: place(lab, me, key, sku=sku), range(8)))

    created = [response for response in responses if response.status_code == 201]
    waiting = [response for response in responses if response.status_code == 409]
    assert len(created) + len(waiting) == 8
    assert len({response.json()["order_id"] for response in created}) == 1
    assert all(response.headers["Retry-After"] == "1" for response in waiting)
    newest = lab.request("GET", "/orders?limit=100", me).json()["orders"]
    assert [order["sku"] for order in newest].count(sku) == 1


def test_an_invalid_order_is_refused(lab: Lab, me: Credentials) -> None:
    bodies: list[Any] = [None, [], {"sku": ""}, {"sku": "tea", "quantity": 0}, {"sku": "tea", "x": 1}]
    for body in bodies:
        answer = lab.request("POST", "/orders", me, body=body, headers={"Idempotency-Key": str(uuid4())})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_body")
