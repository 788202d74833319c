"""One idempotency key, one order, even if requests repeat or coincide, functions die or records get lost."""

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from orders.model import OrderRequest
from tests.support.lambda_context import LambdaContext
from tests.unit.orders.support import Api, B, Counted, Faults, Response, raising

REQUEST = OrderRequest(account_id=B, idempotency_key="key", sku="ABC-1", quantity=1)


class Killed(BaseException):
    """Lambda ends the function in the middle of a line."""


def stored(dynamodb: DynamoDBClient) -> int:
    return dynamodb.scan(TableName="orders")["Count"]


def forget(dynamodb: DynamoDBClient) -> None:
    """Delete all idempotency records, as if they had expired."""
    for record in dynamodb.scan(TableName="idempotency")["Items"]:
        dynamodb.delete_item(TableName="idempotency", Key={"id": record["id"]})


def let_time_pass(dynamodb: DynamoDBClient) -> None:
    """Let the time of the functions in progress run out."""
    for record in dynamodb.scan(TableName="idempotency")["Items"]:
        ends_ms = int(record["in_progress_expiration"]["N"])
        assert -300 < ends_ms / 1000 - time.time() <= 15
        dynamodb.put_item(TableName="idempotency", Item=record | {"in_progress_expiration": {"N": "1"}})


@pytest.mark.parametrize("record_lost", [False, True])
def test_the_same_request_gets_the_same_order_and_another_is_refused(
    api: Api, dynamodb: DynamoDBClient, counted: Counted, record_lost: bool
) -> None:
    first = api.order("key")
    if record_lost:
        forget(dynamodb)
    others = [api.order("key", sku="ABC-2"), api.order("key", quantity=2)]
    for response in (api.order("key"), api.order("key", quantity=1)):
        assert (response.status, response.body) == (201, first.body)
    assert [(other.status, other.code) for other in others] == [(422, "idempotency_key_reused")] * 2
    assert stored(dynamodb) == 1
    assert counted() == {"OrderAccepted": 1, "OrderReplayed": 2, "RequestServed": 3, "RequestRefused": 2}


def test_a_record_outlives_every_queue(api: Api, dynamodb: DynamoDBClient) -> None:
    api.order("key")
    (record,) = dynamodb.scan(TableName="idempotency")["Items"]
    days = (int(record["expiration"]["N"]) - time.time()) / (24 * 60 * 60)
    assert days == pytest.approx(15, abs=0.01)


def test_a_simultaneous_request_is_asked_to_wait(api: Api, dynamodb: DynamoDBClient, faults: Faults) -> None:
    during: list[Response] = []

    def interfere(carry_out: Callable[[], Any]) -> Any:
        faults.clear()
        during.append(api.order("key"))
        return carry_out()

    faults["PutItem", "orders"] = interfere
    api.order("key")
    assert (during[0].status, during[0].code) == (409, "order_in_progress")
    assert during[0].headers["Retry-After"] == ["1"]
    assert api.order("key").status == 201
    assert stored(dynamodb) == 1


@pytest.mark.parametrize("at", [("PutItem", "orders"), ("UpdateItem", "idempotency")])
def test_a_killed_function_leaves_one_order_in_the_end(
    orders: ModuleType, dynamodb: DynamoDBClient, faults: Faults, at: tuple[str, str]
) -> None:
    orders.idempotency.register_lambda_context(LambdaContext(seconds=15))
    faults[at] = raising(Killed())
    with pytest.raises(Killed):
        orders.place_order(request=REQUEST)
    faults.clear()

    api = Api(orders.handler)
    assert api.order("key").status == 409
    let_time_pass(dynamodb)
    response = api.order("key")
    assert response.status == 201
    assert api("GET", f"/orders/{response.body['order_id']}").body == response.body
    assert stored(dynamodb) == 1


def test_a_replay_returns_the_order_as_it_was_accepted(api: Api) -> None:
    first = api.order("key")
    api("DELETE", f"/orders/{first.body['order_id']}")
    assert api.order("key").body == first.body
