"""The API's error responses.

ApiError
├── InvalidBodyError            400  invalid_body
├── InvalidCursorError          400  invalid_cursor
├── InvalidIdempotencyKeyError  400  invalid_idempotency_key
├── InvalidQueryError           400  invalid_query
├── ForbiddenError              403  forbidden
├── RouteNotFoundError          404  route_not_found
├── OrderNotFoundError          404  order_not_found
├── OrderInProgressError        409  order_in_progress, Retry-After
├── IdempotencyKeyReusedError   422  idempotency_key_reused
├── InternalError               500  internal_error
└── UnavailableError            503  unavailable, Retry-After
"""

from collections.abc import Mapping
from typing import Any, ClassVar

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


class ApiError(Exception):
    """A request that gets an error response.

    Attributes:
        status: HTTP status of the response.
        code: Identifies the kind of error, for programs.
        message: For the consumer to read; the constructor may replace it.
        retry_after: Seconds after which the same request may succeed; None if it will not.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    message: ClassVar[str]
    retry_after: ClassVar[int | None] = None

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)


class InvalidBodyError(ApiError):
    """The body is not an order."""

    status = 400
    code = "invalid_body"
    message = 'the body must be a JSON object such as {"sku": "ABC-1", "quantity": 1}'


class InvalidCursorError(ApiError):
    """The cursor was not made by this API."""

    status = 400
    code = "invalid_cursor"
    message = "query parameter cursor must be the next_cursor of the page before, unchanged"


class InvalidIdempotencyKeyError(ApiError):
    """The header that makes a POST safe to repeat is missing or malformed."""

    status = 400
    code = "invalid_idempotency_key"
    message = "header Idempotency-Key must be given once, as 1 to 255 printable ASCII characters"


class InvalidQueryError(ApiError):
    """A query parameter is unknown, repeated or out of range."""

    status = 400
    code = "invalid_query"
    message = "query parameters are status, limit and cursor, each given at most once"


class ForbiddenError(ApiError):
    """The caller is not a consumer."""

    status = 403
    code = "forbidden"
    message = "only consumers may call this API"


class RouteNotFoundError(ApiError):
    """The API has no such method and path."""

    status = 404
    code = "route_not_found"
    message = "no such route; there are GET /whoami, GET and POST /orders, GET and DELETE /orders/{order_id}"


class OrderNotFoundError(ApiError):
    """The consumer has no such order, even if another consumer has."""

    status = 404
    code = "order_not_found"
    message = "no such order"


class OrderInProgressError(ApiError):
    """The same request is still in progress."""

    status = 409
    code = "order_in_progress"
    message = "a request with this Idempotency-Key is still in progress"
    retry_after = 1


class IdempotencyKeyReusedError(ApiError):
    """The key was used for another order."""

    status = 422
    code = "idempotency_key_reused"
    message = "this Idempotency-Key was used for an order with another sku or quantity"


class InternalError(ApiError):
    """A fault of this function; details go to the log only."""

    status = 500
    code = "internal_error"
    message = "internal error; the log has the details under this request id"


class UnavailableError(ApiError):
    """DynamoDB throttles, fails or does not respond."""

    status = 503
    code = "unavailable"
    message = "the orders are temporarily unavailable"
    retry_after = 1


def as_api_error(error: BaseException | None) -> ApiError:
    """Return the error response for any exception raised while a request was handled.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
    """
    match error:
        case ApiError():
            return error
        case UnknownCallerError():
            return ForbiddenError(str(error))
        case NotFoundError():
            return RouteNotFoundError()
        case IdempotencyValidationError():
            return IdempotencyKeyReusedError()
        case IdempotencyAlreadyInProgressError():
            return OrderInProgressError()
        case IdempotencyPersistenceLayerError():
            return as_api_error(error.__cause__)
        case ConnectionError() | HTTPClientError() | IdempotencyInconsistentStateError():
            return UnavailableError()
        case ClientError() if is_throttle(error.response) or _status(error) >= 500:
            return UnavailableError()
        case _:
            return InternalError()


def is_throttle(response: Mapping[str, Any] | None) -> bool:
    """Return whether DynamoDB throttled a request, given botocore's parsed response, None if there is none."""
    return response is not None and response.get("Error", {}).get("Code") in _THROTTLES


def _status(error: ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
