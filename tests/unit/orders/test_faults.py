"""Responses when the backend fails."""

import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyInconsistentStateError
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient

from orders.errors import as_api_error
from tests.unit.orders.support import Act, Api, Counted, Faults, Logged, raising, responding

ORDER_PATH = "/orders/00000000-0000-5000-8000-000000000000"
CALLS = {
    "claim": ("POST", "/orders", "PutItem", "idempotency"),
    "create": ("POST", "/orders", "PutItem", "orders"),
    "record": ("POST", "/orders", "UpdateItem", "idempotency"),
    "get": ("GET", ORDER_PATH, "GetItem", "orders"),
}
"""Requests, and a call to DynamoDB that each makes: its operation and table."""

THROTTLE = responding(400, "ThrottlingException")
URL = {"endpoint_url": "https://dynamodb.example"}


def dynamodb_error(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetItem")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (dynamodb_error("ProvisionedThroughputExceededException"), "unavailable"),
        (dynamodb_error("ThrottlingException"), "unavailable"),
        (dynamodb_error("RequestLimitExceeded"), "unavailable"),
        (dynamodb_error("InternalServerError", 500), "unavailable"),
        (dynamodb_error("ResourceNotFoundException"), "internal_error"),
        (ReadTimeoutError(**URL), "unavailable"),
        (EndpointConnectionError(**URL), "unavailable"),
        (IdempotencyInconsistentStateError("changed"), "unavailable"),
        (NoCredentialsError(), "internal_error"),
    ],
    ids=str,
)
def test_an_error_is_temporary_or_internal(error: Exception, code: str) -> None:
    assert as_api_error(error).code == code


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("act", "responded", "throttled"),
    [
        (THROTTLE, "unavailable", {"StoreThrottled": 2}),  # by each of the SDK's attempts
        (responding(400, "AccessDeniedException"), "internal_error", {}),
    ],
)
def test_an_error_of_dynamodb(
    api: Api, faults: Faults, counted: Counted, name: str, act: Act, responded: str, throttled: dict[str, int]
) -> None:
    method, path, *call = CALLS[name]
    faults[call[0], call[1]] = act

    response = api(method, path, '{"sku": "ABC-1"}' if method == "POST" else None, headers={"Idempotency-Key": ["key"]})

    is_temporary = responded == "unavailable"
    assert (response.status, response.code) == (503 if is_temporary else 500, responded)
    assert response.headers.get("Retry-After") == (["1"] if is_temporary else None)
    assert "internal detail" not in str(response)
    # When the record's update fails, the order is stored already.
    accepted = {"OrderAccepted": 1} if name == "record" else {}
    assert counted() == {"RequestFailed": 1} | throttled | accepted


def test_an_unexpected_exception_reveals_nothing(api: Api, faults: Faults, logged: Logged) -> None:
    faults["GetItem", "orders"] = raising(RuntimeError("secret detail"))

    response = api("GET", ORDER_PATH)

    assert (response.status, response.code) == (500, "internal_error")
    assert "secret detail" not in str(response)
    failure, request = logged()
    assert (failure["level"], failure["message"], failure["error_code"]) == ("ERROR", "request failed", response.code)
    assert "secret detail" in failure["exception"]
    assert (request["level"], request["status"]) == ("INFO", 500)
    names = ("consumer_account", "session_name", "request_id", "correlation_id", "function_name")
    assert {name: failure[name] for name in names} == {name: request[name] for name in names}


def test_a_failed_order_can_be_tried_again_at_once(api: Api, dynamodb: DynamoDBClient, faults: Faults) -> None:
    faults["PutItem", "orders"] = THROTTLE
    assert api.order("key").status == 503
    faults.clear()
    assert api.order("key").status == 201
    assert dynamodb.scan(TableName="orders")["Count"] == 1


def test_a_record_that_cannot_be_released_is_temporary(api: Api, faults: Faults) -> None:
    faults.update({("PutItem", "orders"): THROTTLE, ("DeleteItem", "idempotency"): THROTTLE})
    assert api.order("key").status == 503


def test_dynamodb_is_waited_for_less_than_the_function_lives(dynamodb: DynamoDBClient) -> None:
    config = dynamodb.meta.config
    attempts = config.retries["total_max_attempts"]  # type: ignore[attr-defined]
    longest_call = attempts * (config.connect_timeout + config.read_timeout) + 1  # type: ignore[attr-defined]
    assert 2 * longest_call < 15
