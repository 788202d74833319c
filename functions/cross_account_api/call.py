"""A call: what a schedule, a queue message or a person asks of the API, checked before anything is sent."""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlencode

from cross_account_api.errors import InvalidCallError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""What API Gateway passes on, without OPTIONS, which is a browser's question about CORS and no call."""

BODY_LIMIT = 6 * 1024 * 1024
"""Bytes: the most that a Lambda function can be given, so that every call that fits here can be queued or replayed."""

_FIELDS = ("method", "path", "query", "headers", "body", "idempotency_key")
_BODILESS = ("GET", "HEAD")
_KEYED = ("POST", "PATCH")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = re.compile(
    r"host|authorization|date|x-amz-.*|x-amzn-.*|x-correlation-id|idempotency-key|user-agent|accept-encoding"
    r"|content-length|transfer-encoding|te|trailer|upgrade|expect|connection|keep-alive|proxy-.*"
)


@dataclass(frozen=True)
class Call:
    """One request to the API, in a form that can be signed and sent as it is.

    Made by `parse` or `parse_json`, which hold the rules.

    Attributes:
        method: One of `METHODS`.
        path: The path below the API's URL, in plain text: what stands here is what the backend finds after decoding.
        query: Names and values in the order given; a name may come several times.
        headers: Names and values of the caller's own headers.
        body: The JSON to send; None for no body.
        idempotency_key: What makes a repeated call harmless; mandatory for POST and PATCH.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None

    @property
    def target(self) -> str:
        """Path and query as they are signed and sent: every byte but RFC 3986's unreserved ones percent-encoded.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
        """
        query = urlencode(self.query, quote_via=quote, safe="")
        return quote(self.path, safe="/") + (f"?{query}" if query else "")

    @classmethod
    def parse(cls, event: object) -> Self:
        """Check a call.

        Args:
            event: The call as JSON gives it: `{"method", "path", "query", "headers", "body", "idempotency_key"}`, of
                which only `path` is mandatory and `method` is GET unless given. Lambda's destination envelope around
                it is taken off.

        Returns:
            The call.

        Raises:
            InvalidCallError: It breaks a rule. The error names the field, what it holds and what is allowed.

        See https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        """
        while isinstance(event, dict) and "requestPayload" in event:
            event = event["requestPayload"]
        if not isinstance(event, dict):
            raise InvalidCallError("call", _kind(event), "an object with " + ", ".join(_FIELDS))
        for name in event:
            if name not in _FIELDS:
                raise InvalidCallError("call", f"an object with the unknown field {_shown(name)}", ", ".join(_FIELDS))
        method = _method(event.get("method", "GET"))
        return cls(
            method=method,
            path=_path(event.get("path")),
            query=_query(event.get("query")),
            headers=_headers(event.get("headers")),
            body=_body(event.get("body"), method),
            idempotency_key=_idempotency_key(event.get("idempotency_key"), method),
        )

    @classmethod
    def parse_json(cls, text: str) -> Self:
        """Check a call that is written as JSON, such as the body of a queue message.

        Args:
            text: The JSON.

        Returns:
            The call.

        Raises:
            InvalidCallError: It is not JSON, or the call breaks a rule.
        """
        try:
            event = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidCallError("call", f"text of {len(text)} characters that is not JSON", "JSON") from error
        return cls.parse(event)


def _method(value: object) -> str:
    if not isinstance(value, str) or value not in METHODS:
        raise InvalidCallError("method", _shown(value), ", ".join(METHODS))
    return value


def _path(value: object) -> str:
    allowed = "plain text that starts with one /, without //, dot segments, control characters, ? or # (see query)"
    if (
        not isinstance(value, str)
        or not value.startswith("/")
        or "//" in value
        or "?" in value
        or "#" in value
        or _UNSENDABLE.search(value)
        or {".", ".."} & set(value.split("/"))
    ):
        raise InvalidCallError("path", _shown(value), allowed)
    return value


def _query(value: object) -> tuple[tuple[str, str], ...]:
    allowed = "an object of text, numbers, true, false, or lists of these"
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise InvalidCallError("query", _kind(value), allowed)
    pairs = []
    for name, values in value.items():
        if not isinstance(name, str) or not name or _SURROGATE.search(name):
            raise InvalidCallError("query", f"an object with the name {_shown(name)}", "names of at least 1 character")
        for item in values if isinstance(values, list) else [values]:
            text = _query_text(item)
            if text is None:
                raise InvalidCallError(f"query.{_bare(name)}", _kind(item), allowed)
            pairs.append((name, text))
    return tuple(pairs)


def _query_text(value: object) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str() if not _SURROGATE.search(value):
            return value
        case int() if abs(value) < 10**100:
            return str(value)
        case float() if math.isfinite(value):
            return str(value)
    return None


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise InvalidCallError("headers", _kind(value), "an object of text")
    pairs: dict[str, tuple[str, str]] = {}
    for name, text in value.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise InvalidCallError(
                "headers", f"an object with the name {_shown(name)}", "names of ASCII letters, digits and -"
            )
        if _OWN_HEADERS.fullmatch(name.lower()):
            raise InvalidCallError(
                f"headers.{name}", "a header that the caller or the connection sets", "any other header"
            )
        if name.lower() in pairs:
            raise InvalidCallError(f"headers.{name}", "given twice", "each name once, whatever its case")
        if not isinstance(text, str) or not _PRINTABLE.fullmatch(text):
            raise InvalidCallError(
                f"headers.{name}", _kind(text), "printable ASCII text that neither starts nor ends with a space"
            )
        pairs[name.lower()] = (name, text)
    return tuple(pairs.values())


def _body(value: object, method: str) -> bytes | None:
    if value is None:
        return None
    if method in _BODILESS:
        raise InvalidCallError("body", _kind(value), f"no body with {method}")
    try:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidCallError("body", _kind(value), "JSON, without NaN, infinity or lone surrogates") from error
    if len(body) > BODY_LIMIT:
        raise InvalidCallError("body", f"{len(body)} bytes of JSON", f"at most {BODY_LIMIT} bytes")
    return body


def _idempotency_key(value: object, method: str) -> str | None:
    if value is None and method not in _KEYED:
        return None
    if not isinstance(value, str) or len(value) > 255 or not _PRINTABLE.fullmatch(value):
        raise InvalidCallError(
            "idempotency_key",
            "missing" if value is None else _shown(value),
            f"1 to 255 characters of printable ASCII, always given with {' and '.join(_KEYED)}",
        )
    return value


def _shown(value: Any) -> str:
    """Return a value for a message: text as it is, up to a length, and of anything else only what it is."""
    if not isinstance(value, str):
        return _kind(value)
    return repr(value if len(value) <= 100 else value[:100] + "…")


def _bare(name: str) -> str:
    return _shown(name)[1:-1]


def _kind(value: object) -> str:
    """Return what a value is, without saying what it holds."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return f"text of {len(value)} characters"
        case int() | float():
            return "a number"
        case dict():
            return "an object"
        case list():
            return "a list"
    return f"a Python {type(value).__name__}"
