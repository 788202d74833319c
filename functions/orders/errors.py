"""The API's error responses."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's own

from cross_account_backend import UnknownCallerError

_THROTTLES = {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}


class Problem(Enum):
    """What can be wrong: HTTP status, message, and the seconds after which the same request may succeed."""

    INVALID_BODY = 400, 'the body must be a JSON object such as {"sku": "ABC-1", "quantity": 1}'
    INVALID_CURSOR = 400, "query parameter cursor must be the next_cursor of the page before, unchanged"
    INVALID_IDEMPOTENCY_KEY = 400, "header Idempotency-Key must be given once, as 1 to 255 printable ASCII characters"
    INVALID_QUERY = 400, "query parameters are status, limit and cursor, each given at most once"
    FORBIDDEN = 403, "only consumers may call this API"
    ROUTE_NOT_FOUND = 404, "no such route"
    ORDER_NOT_FOUND = 404, "no such order"
    ORDER_IN_PROGRESS = 409, "a request with this Idempotency-Key is still in progress", 1
    IDEMPOTENCY_KEY_REUSED = 422, "this Idempotency-Key was used for an order with another sku or quantity"
    INTERNAL_ERROR = 500, "internal error; the log has the details under this request id"
    UNAVAILABLE = 503, "the orders are temporarily unavailable", 1

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        self.status, self.message, self.retry_after = status, message, retry_after


class ApiError(Exception):
    """A request that gets an error response; `message` may say more to the consumer than the problem's own."""

    def __init__(self, problem: Problem, message: str = "") -> None:
        super().__init__(message or problem.message)
        self.code = problem.name.lower()
        self.status, self.retry_after = problem.status, problem.retry_after


def as_api_error(error: BaseException | None) -> ApiError:
    """Return the error response for any exception raised while a request was handled.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
    """
    match error:
        case ApiError():
            return error
        case UnknownCallerError():
            return ApiError(Problem.FORBIDDEN, str(error))
        case NotFoundError():
            return ApiError(Problem.ROUTE_NOT_FOUND)
        case IdempotencyValidationError():
            return ApiError(Problem.IDEMPOTENCY_KEY_REUSED)
        case IdempotencyAlreadyInProgressError():
            return ApiError(Problem.ORDER_IN_PROGRESS)
        case IdempotencyPersistenceLayerError():
            return as_api_error(error.__cause__)
        case ConnectionError() | HTTPClientError() | IdempotencyInconsistentStateError():
            return ApiError(Problem.UNAVAILABLE)
        case ClientError(response={"ResponseMetadata": {"HTTPStatusCode": int(status)}}) if status >= 500:
            return ApiError(Problem.UNAVAILABLE)
        case ClientError() if is_throttle(error.response):
            return ApiError(Problem.UNAVAILABLE)
        case _:
            return ApiError(Problem.INTERNAL_ERROR)


def is_throttle(response: Mapping[str, Any] | None) -> bool:
    """Return whether DynamoDB throttled a request, given botocore's parsed response, None if there is none."""
    return response is not None and response.get("Error", {}).get("Code") in _THROTTLES
