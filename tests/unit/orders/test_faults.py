"""Responses when the backend fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyInconsistentStateError
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from orders.errors import as_api_error
from tests.unit.orders.support import Api, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

    from tests.unit.orders.support import Faults

THROTTLES = ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
ORDER_PATH = "/orders/00000000-0000-5000-8000-000000000000"


@dataclass(frozen=True)
class Call:
    """A request, and a call to DynamoDB that it makes."""

    method: str
    path: str
    operation: str
    table: str = "orders"

    def send(self, api: Api) -> Response:
        body = '{"sku": "ABC-1"}' if self.method == "POST" else None
        return api(self.method, self.path, body, headers={"Idempotency-Key": ["key"]})


CALLS = {
    "claim": Call("POST", "/orders", "PutItem", "idempotency"),
    "create": Call("POST", "/orders", "PutItem"),
    "record": Call("POST", "/orders", "UpdateItem", "idempotency"),
    "list": Call("GET", "/orders", "Query"),
    "get": Call("GET", ORDER_PATH, "GetItem"),
    "cancel": Call("DELETE", ORDER_PATH, "UpdateItem"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
URL = {"endpoint_url": "https://dynamodb.example"}


@every_call
@pytest.mark.parametrize(
    "error",
    [
        *((400, code) for code in THROTTLES),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_throttles_and_server_errors_are_temporary(
    api: Api, faults: Faults, error: tuple[int, str], call: Call
) -> None:
    faults.respond(call.operation, *error, call.table)
    response = call.send(api)
    assert (response.status, response.code) == (503, "unavailable")
    assert response.headers["Retry-After"] == ["1"]
    assert "internal detail" not in str(response)


@every_call
@pytest.mark.parametrize("code", THROTTLES)
def test_every_throttled_attempt_is_counted(
    api: Api, faults: Faults, counted: Callable[[], dict[str, float]], code: str, call: Call
) -> None:
    faults.respond(call.operation, 400, code, call.table)
    assert call.send(api).status == 503
    # The SDK makes two attempts. When the record's update fails, the order is stored already.
    assert counted() == {"StoreThrottled": 2, "RequestFailed": 1} | (
        {"OrderAccepted": 1} if call is CALLS["record"] else {}
    )


@pytest.mark.parametrize("status", ["accepted", None])
def test_throttles_of_the_indexes_are_counted(
    api: Api, faults: Faults, counted: Callable[[], dict[str, float]], status: str | None
) -> None:
    faults.respond("Query", 400, "ThrottlingException")
    assert api.orders(**({"status": status} if status else {})).status == 503
    assert counted() == {"StoreThrottled": 2, "RequestFailed": 1}


def test_a_throttle_is_counted_even_if_the_next_attempt_succeeds(
    api: Api, faults: Faults, counted: Callable[[], dict[str, float]]
) -> None:
    faults.respond("Query", 400, "ThrottlingException", times=1)
    assert api.orders().status == 200
    assert counted() == {"StoreThrottled": 1, "RequestServed": 1}


@every_call
@pytest.mark.parametrize("error", [(400, "AccessDeniedException"), (500, "InternalServerError"), (400, "Throttling?")])
def test_other_errors_are_not_counted_as_throttles(
    api: Api, faults: Faults, counted: Callable[[], dict[str, float]], error: tuple[int, str], call: Call
) -> None:
    faults.respond(call.operation, *error, call.table)
    assert call.send(api).status >= 500
    assert "StoreThrottled" not in counted()


@every_call
@pytest.mark.parametrize(
    "error",
    [
        ConnectionClosedError(**URL),
        ConnectTimeoutError(**URL),
        EndpointConnectionError(**URL),
        ReadTimeoutError(**URL),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_connection_is_temporary(api: Api, faults: Faults, error: Exception, call: Call) -> None:
    faults.fail(call.operation, error, call.table)
    response = call.send(api)
    assert (response.status, response.code) == (503, "unavailable")


@every_call
@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_anything_else_is_an_internal_error(api: Api, faults: Faults, code: str, call: Call) -> None:
    faults.respond(call.operation, 400, code, call.table)
    response = call.send(api)
    assert (response.status, response.code) == (500, "internal_error")
    assert "Retry-After" not in response.headers
    assert "internal detail" not in str(response)


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 500), ("ThrottlingException", 503)])
def test_a_failure_is_logged_and_counted(
    api: Api,
    faults: Faults,
    logged: Callable[[], list[dict[str, Any]]],
    counted: Callable[[], dict[str, float]],
    *,
    code: str,
    status: int,
) -> None:
    faults.respond("GetItem", 400, code)
    response = CALLS["get"].send(api)
    failure, request = logged()
    assert (failure["level"], failure["message"], failure["error_code"]) == ("ERROR", "request failed", response.code)
    assert code in failure["exception"]
    assert (request["level"], request["status"]) == ("INFO", status)
    assert counted() == {"RequestFailed": 1} | ({"StoreThrottled": 2} if status == 503 else {})


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), NoCredentialsError(), KeyError("secret detail")])
def test_an_unexpected_exception_reveals_nothing(
    api: Api, faults: Faults, logged: Callable[[], list[dict[str, Any]]], error: Exception
) -> None:
    faults.fail("GetItem", error)
    response = CALLS["get"].send(api)
    assert (response.status, response.code) == (500, "internal_error")
    assert "secret detail" not in str(response)
    assert str(error) in logged()[0]["exception"]


def test_a_failed_order_can_be_tried_again_at_once(api: Api, dynamodb: DynamoDBClient, faults: Faults) -> None:
    faults.respond("PutItem", 400, "ThrottlingException", "orders")
    assert api.order("key").status == 503
    faults.clear()
    assert api.order("key").status == 201
    assert dynamodb.scan(TableName="orders")["Count"] == 1


def test_a_record_that_cannot_be_released_is_temporary(api: Api, faults: Faults) -> None:
    faults.respond("PutItem", 400, "ThrottlingException", "orders")
    faults.respond("DeleteItem", 400, "ThrottlingException", "idempotency")
    assert api.order("key").status == 503


def test_a_record_changed_concurrently_is_temporary() -> None:
    assert as_api_error(IdempotencyInconsistentStateError("changed")).status == 503


def test_a_transient_fault_goes_unnoticed(api: Api, faults: Faults) -> None:
    faults.lose_response("Query", ReadTimeoutError(**URL))
    assert api.orders().status == 200


def test_dynamodb_is_waited_for_less_than_the_function_lives(dynamodb: DynamoDBClient) -> None:
    config = dynamodb.meta.config
    attempts = config.retries["total_max_attempts"]  # type: ignore[attr-defined]
    longest_call = attempts * (config.connect_timeout + config.read_timeout) + 1  # type: ignore[attr-defined]
    assert 2 * longest_call < 15
