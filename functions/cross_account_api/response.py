"""What the API answers: read within bounds, and turned into an `Answer` or the error that says what is wrong."""

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

import urllib3

from cross_account_api.errors import (
    AnswerTooLargeError,
    ApiError,
    ConflictError,
    ExpiredSessionError,
    GarbledAnswerError,
    InProgressError,
    NotFoundError,
    RedirectError,
    RefusedError,
    RejectedError,
    ServerError,
    ThrottledError,
)

ANSWER_LIMIT = 6_000_000
"""Bytes of an answer's body: with its headers it fits the 6 MiB that a Lambda function can return."""

_SESSION_CODES = ("ExpiredTokenException", "UnrecognizedClientException")


@dataclass(frozen=True)
class Answer:
    """An answer with a 2xx status.

    Attributes:
        status: The HTTP status code.
        headers: The answer's headers, names in lower case.
        body: JSON if the content type says so, else text, or Base64 text of what is not UTF-8; None if empty.
        attempts: How many requests it took.
        request_id: The API's request id.
        content: The body's bytes as received.
    """

    status: int
    headers: dict[str, str] = field(repr=False)
    body: object = field(repr=False)
    attempts: int
    request_id: str
    content: bytes = field(repr=False)

    def as_json(self) -> dict[str, object]:
        """Return what a Lambda function returns: everything but the bytes."""
        return {
            "status": self.status,
            "headers": self.headers,
            "body": self.body,
            "attempts": self.attempts,
            "request_id": self.request_id,
        }


def read_answer(response: urllib3.BaseHTTPResponse, attempts: int) -> Answer:
    """Read an answer to its end.

    Args:
        response: The response, its body still unread.
        attempts: How many requests it took.

    Returns:
        The answer, if its status is 2xx.

    Raises:
        ApiError: The status is another one; the type says what it means.
        AnswerError: The status is 2xx, and the body cannot be used.
        urllib3.exceptions.HTTPError: The connection failed before the end.
    """
    content = _read(response)
    request_id = response.headers.get("x-amzn-requestid", "")
    if not 200 <= response.status < 300:
        raise _api_error(response, content, request_id)
    return Answer(
        status=response.status,
        headers={name.lower(): value for name, value in response.headers.itermerged()},
        body=_parse(content, response.headers.get("content-type", ""), request_id),
        attempts=attempts,
        request_id=request_id,
        content=content,
    )


def parse_retry_after(value: str) -> float | None:
    """Read a `Retry-After` header.

    Args:
        value: The header's value: seconds, or a date.

    Returns:
        Seconds to wait, 0 for a date that has passed; None if the value is neither.

    See RFC 9110, section 10.2.3.
    """
    value = value.strip(" \t")
    if re.fullmatch(r"[0-9]+", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    content = response.read(ANSWER_LIMIT + 1)
    if len(content) > ANSWER_LIMIT:
        raise AnswerTooLargeError(ANSWER_LIMIT)
    return content


def _parse(content: bytes, content_type: str, request_id: str) -> object:
    media_type = content_type.partition(";")[0].strip().lower()
    if not content:
        return None
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise GarbledAnswerError(request_id) from error
    try:
        return content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _api_error(response: urllib3.BaseHTTPResponse, content: bytes, request_id: str) -> ApiError:
    code, detail = _explanation(content)
    code = response.headers.get("x-amzn-errortype", "").partition(":")[0] or code
    retry_after = parse_retry_after(response.headers.get("retry-after", ""))
    error_type = _error_type(response.status, code, retry_after)
    return error_type(response.status, request_id=request_id, code=code, detail=detail, retry_after=retry_after)


def _error_type(status: int, code: str, retry_after: float | None) -> type[ApiError]:
    match status:
        case 403:
            return ExpiredSessionError if code in _SESSION_CODES else RefusedError
        case 404:
            return NotFoundError
        case 409:
            return ConflictError if retry_after is None else InProgressError
        case 429:
            return ThrottledError
    if status < 400:
        return RedirectError
    return RejectedError if status < 500 else ServerError


def _explanation(content: bytes) -> tuple[str, str]:
    """Return code and message of an error answer: `{"error": {"code", "message"}}`, or API Gateway's `{"message"}`."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    error = body.get("error")
    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
    else:
        code, message = body.get("__type"), body.get("message", body.get("Message"))
    return code if isinstance(code, str) else "", message if isinstance(message, str) else ""
