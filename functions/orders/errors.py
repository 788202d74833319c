"""What the API answers when it does not do what was asked.

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

from typing import ClassVar

from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyPersistenceLayerError,
    IdempotencyValidationError,
)
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's own

_THROTTLES = {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        message: What is wrong and what is allowed, for the consumer to read; the class's own if not given.

    Attributes:
        status: HTTP status of the answer.
        code: What programs tell errors apart by.
        retry_after: After how many seconds the same request may succeed; None if it will not.
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
    message = "only sessions of the executor role whose name begins with their account id may call this API"


class RouteNotFoundError(ApiError):
    """The API has no such method and path."""

    status = 404
    code = "route_not_found"
    message = "no such route; there are GET /whoami, GET and POST /orders, GET and DELETE /orders/{order_id}"


class OrderNotFoundError(ApiError):
    """The consumer has no such order, whoever else may have it."""

    status = 404
    code = "order_not_found"
    message = "no such order"


class OrderInProgressError(ApiError):
    """The same request is being worked on at this moment."""

    status = 409
    code = "order_in_progress"
    message = "a request with this Idempotency-Key is still in progress"
    retry_after = 1


class IdempotencyKeyReusedError(ApiError):
    """The key belongs to another order."""

    status = 422
    code = "idempotency_key_reused"
    message = "this Idempotency-Key was used for an order with another sku or quantity"


class InternalError(ApiError):
    """A fault of this function; the log has the details."""

    status = 500
    code = "internal_error"
    message = "something went wrong here; the log has more under this request id"


class UnavailableError(ApiError):
    """DynamoDB throttles, fails or does not answer."""

    status = 503
    code = "unavailable"
    message = "the orders are out of reach for a moment"
    retry_after = 1


def as_api_error(error: BaseException | None) -> ApiError:
    """Tell what to answer to whatever was raised while a request was handled.

    Args:
        error: What was raised.

    Returns:
        The error itself if it is one of the API's own, else the one that it amounts to.
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
    """
    match error:
        case ApiError():
            return error
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
        case ClientError() if _is_temporary(error):
            return UnavailableError()
        case _:
            return InternalError()


def _is_temporary(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in _THROTTLES or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
