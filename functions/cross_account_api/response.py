"""Responses: a `Response` for 2xx, and the error that explains anything else."""

import base64
import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from cross_account_api import errors, media_type
from cross_account_api.call import not_json
from cross_account_api.transport import HttpResponse, HttpStream, parse_retry_after

_SESSION_CODES = ("ExpiredTokenException", "UnrecognizedClientException")
_ERRORS = {403: errors.ForbiddenError, 404: errors.NotFoundError, 409: errors.ConflictError, 429: errors.ThrottledError}
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_TEXT = re.compile(
    r"text/.*|.*[/+](?:xml|jwt|yaml)|application/(?:javascript|x-www-form-urlencoded|x-yaml|sql|graphql|jose|toml"
    r"|(?:x-)?ndjson|(?:x-)?jsonl|(?:x-)?json-?lines|json-seq|x-amz-json-[0-9.]+)"
)


@dataclass(frozen=True)
class Response:
    """A response with a 2xx status.

    Attributes:
        headers: Headers, names in lower case.
        body: Parsed JSON or text, by the content type; Base64 of anything else (`base64` is then true); None if empty.
            An integer in JSON of more than 4,300 digits, which Python does not convert, is text.
        base64: Whether `body` is Base64.
        content: The body's bytes as received.
        request_id: API Gateway's request id.
        attempts: How many requests were sent.
        throttled: How many of them were answered with 429.
    """

    status: int
    headers: dict[str, str] = field(repr=False)
    body: Any = field(repr=False)
    content: bytes = field(repr=False)
    request_id: str
    attempts: int = 1
    throttled: int = 0
    base64: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the response in the form that a direct invocation of the Lambda function gets."""
        return {
            "status": self.status,
            "headers": self.headers,
            "body": self.body,
            **({"base64": True} if self.base64 else {}),
            "attempts": self.attempts,
            "request_id": self.request_id,
        }


@dataclass(frozen=True)
class StreamedResponse:
    """A response with a 2xx status whose body comes while one iterates: as bytes, in pieces of at most 64 KiB.

    Attributes are those of `Response`. Each byte is there once; iterating raises `ConnectionFailedError` if the body is
    cut off, or nothing comes for too long. Leaving `with` before the end of the body closes the connection.
    """

    status: int
    headers: dict[str, str] = field(repr=False)
    request_id: str
    attempts: int
    throttled: int
    _stream: HttpStream = field(repr=False)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream.chunks
        except errors.CallError as error:
            error.attempts, error.throttled = self.attempts, self.throttled
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def open_response(stream: HttpStream, *, attempts: int, throttled: int) -> StreamedResponse:
    """Return a 2xx response, or raise the error that says what another one means."""
    try:
        body = b"" if 200 <= stream.status < 300 else stream.read()
        http = HttpResponse(stream.status, stream.headers, body)
        response = read_response(http, attempts=attempts, throttled=throttled, raw=True)
    except errors.CallError:
        stream.close()
        raise
    return StreamedResponse(response.status, response.headers, response.request_id, attempts, throttled, stream)


def read_response(http: HttpResponse, *, attempts: int = 1, throttled: int = 0, raw: bool = False) -> Response:
    """Return a 2xx response, or raise the `ApiError` or `InvalidResponseError` that says what another one means.

    Raw has no `body`, only `content`, whatever its type says.
    """
    request_id = errors.one_line(http.headers.get("x-amzn-requestid") or http.headers.get("apigw-requestid", ""))
    if action := http.headers.get("x-amzn-waf-action"):  # 202 for Challenge: the API has not seen it
        raise errors.ForbiddenError(http.status, request_id=request_id, code="WafAction", detail=action)
    if not 200 <= http.status < 300:
        raise _api_error(http, request_id)
    body, is_base64 = (None, False) if raw else _parse_body(http, request_id)
    return Response(http.status, dict(http.headers), body, http.body, request_id, attempts, throttled, is_base64)


def _parse_body(http: HttpResponse, request_id: str) -> tuple[Any, bool]:
    if not http.body:
        return None, False
    content_type = http.headers.get("content-type", "")
    type_, charset = media_type.parse(content_type)
    if media_type.is_json(content_type):
        return _parse_json(http.body, request_id), False
    if _TEXT.fullmatch(type_) and http.headers.get("content-encoding", "identity").lower() == "identity":
        with suppress(ValueError):
            return media_type.decode(http.body, charset), False
    return base64.b64encode(http.body).decode(), True


def _parse_json(content: bytes, request_id: str) -> Any:
    """Parse JSON that can be handed on as JSON: without NaN, infinity and lone surrogates."""
    try:
        text = content.decode(json.detect_encoding(content))  # json.loads would let surrogates pass
        options: dict[str, Any] = {"parse_constant": not_json, "parse_float": _finite}
        try:
            body = json.loads(text, **options)
        except json.JSONDecodeError:
            raise
        except ValueError:  # perhaps an integer of too many digits for Python, though not for JSON
            body = json.loads(text, parse_int=_integer, **options)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise errors.InvalidResponseError(request_id) from error
    return body


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else not_json(text[:20])


def _integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _api_error(http: HttpResponse, request_id: str) -> errors.ApiError:
    code, detail = _explanation(http.body)
    code = http.headers.get("x-amzn-errortype", "").partition(":")[0] or code
    retry_after = parse_retry_after(http.headers.get("retry-after", ""))
    if http.status < 400:
        error_type: type[errors.ApiError] = errors.RedirectError
    elif http.status >= 500:
        error_type = errors.ServerError
    elif http.status == 403 and code in _SESSION_CODES:
        error_type = errors.ExpiredSessionError
    elif http.status == 409 and retry_after is not None:
        error_type = errors.InProgressError
    else:
        error_type = _ERRORS.get(http.status, errors.BadRequestError)
    return error_type(http.status, request_id=request_id, code=code, detail=detail, retry_after=retry_after)


def _explanation(content: bytes) -> tuple[str, str]:
    """Return code and message of an error: `{"error": {"code", "message"}}`, or API Gateway's `{"message"}`."""
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
