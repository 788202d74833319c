"""Responses when the backend fails."""

from dataclasses import dataclass

import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyInconsistentStateError
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from mypy_boto3_dynamodb import DynamoDBClient

from orders.errors import as_api_error
from tests.unit.orders.support import Api, Counted, Faults, Logged, Response

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
    ("status", "code", "responded", "throttled"),
    [
        *((400, code, "unavailable", {"StoreThrottled": 2}) for code in THROTTLES),  # by each of the SDK's attempts
        (500, "InternalServerError", "unavailable", {}),
        (503, "ServiceUnavailable", "unavailable", {}),
        (400, "AccessDeniedException", "internal_error", {}),
        (400, "ResourceNotFoundException", "internal_error", {}),
        (400, "ValidationException", "internal_error", {}),
        (400, "Throttling?", "internal_error", {}),
    ],
)
def test_an_error_of_dynamodb(
    api: Api,
    faults: Faults,
    counted: Counted,
    call: Call,
    status: int,
    code: str,
    responded: str,
    throttled: dict[str, int],
) -> None:
    faults.respond(call.operation, status, code, call.table)

    response = call.send(api)

    is_temporary = responded == "unavailable"
    assert (response.status, response.code) == (503 if is_temporary else 500, responded)
    assert response.headers.get("Retry-After") == (["1"] if is_temporary else None)
    assert "internal detail" not in str(response)
    # When the record's update fails, the order is stored already.
    accepted = {"OrderAccepted": 1} if call is CALLS["record"] else {}
    assert counted() == {"RequestFailed": 1} | throttled | accepted


@pytest.mark.parametrize("query", [{"status": "accepted"}, {}])
@pytest.mark.parametrize(
    ("times", "status", "counts"),
    [(None, 503, {"StoreThrottled": 2, "RequestFailed": 1}), (1, 200, {"StoreThrottled": 1, "RequestServed": 1})],
)
def test_throttles_of_the_indexes_are_counted_even_if_the_next_attempt_succeeds(
    api: Api,
    faults: Faults,
    counted: Counted,
    query: dict[str, str],
    times: int | None,
    status: int,
    counts: dict[str, int],
) -> None:
    faults.respond("Query", 400, "ThrottlingException", times=times)
    assert api.orders(**query).status == status
    assert counted() == counts


@pytest.mark.parametrize(
    ("call", "error"),
    [
        *((call, ReadTimeoutError(**URL)) for call in CALLS.values()),
        *(
            (CALLS["get"], kind(**URL))
            for kind in (ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError)
        ),
    ],
)
def test_a_lost_connection_is_temporary(api: Api, faults: Faults, error: Exception, call: Call) -> None:
    faults.fail(call.operation, error, call.table)
    response = call.send(api)
    assert (response.status, response.code) == (503, "unavailable")


@pytest.mark.parametrize(("code", "status"), [("AccessDeniedException", 500), ("ThrottlingException", 503)])
def test_a_failure_is_logged_and_counted(
    api: Api,
    faults: Faults,
    logged: Logged,
    counted: Counted,
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
def test_an_unexpected_exception_reveals_nothing(api: Api, faults: Faults, logged: Logged, error: Exception) -> None:
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


def test_dynamodb_is_waited_for_less_than_the_function_lives(dynamodb: DynamoDBClient) -> None:
    config = dynamodb.meta.config
    attempts = config.retries["total_max_attempts"]  # type: ignore[attr-defined]
    longest_call = attempts * (config.connect_timeout + config.read_timeout) + 1  # type: ignore[attr-defined]
    assert 2 * longest_call < 15
