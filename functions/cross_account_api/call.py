"""A call: one request to the API as a schedule, a queue message, a person or a program describes it."""

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from functools import partial
from typing import Any, NoReturn, Self
from urllib.parse import quote, urlencode

from cross_account_api import media_type
from cross_account_api.errors import InvalidCallError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""Supported methods. OPTIONS is left out: it is for CORS preflight."""

MAX_BODY_BYTES = 10 * 1024 * 1024
"""What API Gateway takes: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""

MAX_HEAD_BYTES = 10240 - 3072
"""API Gateway's limit for request line and headers, less what signature, token, trace and the client's own take."""

_FIELDS = ("method", "path", "query", "headers", "body", "base64", "idempotency_key")
_PATH = re.compile(r"/(?:[^/?#]+/)*[^/?#]*")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_RESERVED_HEADERS = re.compile(
    r"host|authorization|date|x-amz-.*|x-amzn-.*|x-correlation-id|idempotency-key|user-agent|accept-encoding"
    r"|content-length|transfer-encoding|te|trailer|upgrade|expect|connection|keep-alive|proxy-.*"
)


@dataclass(frozen=True)
class Call:
    """One request to the API, checked and ready to be signed. `parse` and `parse_json` make it and hold the rules.

    Attributes:
        path: The path below the API's URL in plain text, as the backend finds it after decoding.
        encoded_path: The same as it is signed and sent.
        query: Names and values in the order given; a name may occur several times.
        content_type: What `Content-Type` says unless `headers` does; empty without a body.
        idempotency_key: What makes a repeated request harmless, if the API heeds it.
    """

    method: str
    path: str
    encoded_path: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    idempotency_key: str | None = None

    @property
    def target(self) -> str:
        """Path and query as they are signed and sent: all but RFC 3986's unreserved characters percent-encoded.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
        """
        query = urlencode(self.query, quote_via=quote, safe="")
        return self.encoded_path + (f"?{query}" if query else "")

    @property
    def is_idempotent(self) -> bool:
        """Whether HTTP itself makes a repeated request harmless: every method but POST and PATCH."""
        return self.method not in ("POST", "PATCH")

    @classmethod
    def parse(cls, event: object, *, max_body_bytes: int = MAX_BODY_BYTES) -> Self:
        """Check a call.

        Args:
            event: `{"method", "path", "query", "headers", "body", "base64", "idempotency_key"}`. Only `path` is
                required: plain text, or a list of segments, which may contain slashes. `method` defaults to GET. `body`
                is sent as JSON; as text if a `Content-Type` other than JSON is among the headers; decoded from Base64
                if `base64` is true; unchanged if it is bytes. Lambda's destination envelope is unwrapped.
            max_body_bytes: The largest body.

        Raises:
            InvalidCallError: It breaks a rule. The error names the field, its value and what is allowed.

        See https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        """
        while isinstance(event, dict) and "requestPayload" in event:
            event = event["requestPayload"]
        if not isinstance(event, dict):
            raise InvalidCallError("call", type_name(event), "an object with " + ", ".join(_FIELDS))
        for name in event:
            if name not in _FIELDS:
                raise InvalidCallError("call", f"an object with the unknown field {_shown(name)}", ", ".join(_FIELDS))
        method = _method(event.get("method", "GET"))
        path, encoded_path = _path(event.get("path"))
        headers = _headers(event.get("headers"))
        body, content_type = _body(event, method, dict(headers), max_body_bytes)
        query = _query(event.get("query"))
        idempotency_key = _idempotency_key(event.get("idempotency_key"))
        call = cls(method, path, encoded_path, query, headers, body, content_type, idempotency_key)
        size = len(call.target) + sum(len(name) + len(text) for name, text in headers)
        if size > MAX_HEAD_BYTES:
            allowed = (
                f"at most {MAX_HEAD_BYTES} bytes; API Gateway takes 10240, of which signature and token need the rest"
            )
            raise InvalidCallError("call", f"{size} bytes of path, query and headers", allowed)
        return call

    @classmethod
    def parse_json(cls, text: str | bytes) -> Self:
        """Check a call that is written as JSON, such as the body of a queue message; see `read_json`."""
        return cls.parse(read_json(text, "call"))


def read_json(text: str | bytes, name: str, *, is_sent_unchanged: bool = False) -> Any:
    """Parse JSON, and refuse what parsing would change in silence: a name given twice, a number of too many digits.

    Bytes may be UTF-8, UTF-16 or UTF-32, each with or without a byte order mark. If the text itself is sent, numbers
    survive whatever their digits.
    """
    parsers: dict[str, Any] = {"parse_float": _exact}
    if is_sent_unchanged:
        parsers = {"parse_float": str, "parse_int": str, "parse_constant": not_json}
    try:
        if isinstance(text, str):
            text = text.removeprefix("\ufeff")
        return json.loads(text, object_pairs_hook=partial(_unique, name), **parsers)
    except (ValueError, RecursionError) as error:
        raise InvalidCallError(name, f"text of {len(text)} characters that is not JSON", "JSON") from error


def _unique(field_name: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidCallError(field_name, f"JSON that gives {_shown(name)} twice", "each name once")
        fields[name] = value
    return fields


def not_json(text: str) -> NoReturn:
    """Refuse a constant that JSON does not have, such as NaN."""
    raise ValueError(f"{text} is not JSON")


def _exact(text: str) -> float:
    number = float(text)
    with suppress(DecimalException):  # an exponent beyond those of any Decimal
        if math.isfinite(number) and Decimal(repr(number)) == Decimal(text):
            return number
    raise InvalidCallError("call", "JSON with a number that a double cannot hold", "numbers as text")


def _method(value: object) -> str:
    if not isinstance(value, str) or value not in METHODS:
        raise InvalidCallError("method", _shown(value), ", ".join(METHODS))
    return value


def _path(value: object) -> tuple[str, str]:
    allowed = (
        "plain text that starts with one /, without //, dot segments, control characters, ? or # (see query), "
        "or a list of segments"
    )
    if not isinstance(value, list):
        if not isinstance(value, str) or not _PATH.fullmatch(value) or not _is_safe(value):
            raise InvalidCallError("path", _shown(value), allowed)
        return value, quote(value, safe="/")
    if not value or not all(isinstance(segment, str) for segment in value):
        raise InvalidCallError("path", type_name(value), "a list of text, one for each segment")
    for segment in value:
        if not segment or not _is_safe(segment):
            raise InvalidCallError("path", f"a list with the segment {_shown(segment)}", allowed)
    return "/" + "/".join(value), "".join(f"/{quote(segment, safe='')}" for segment in value)


def _is_safe(path: str) -> bool:
    return not _UNSENDABLE.search(path) and {".", ".."}.isdisjoint(path.split("/"))


def _query(value: object) -> tuple[tuple[str, str], ...]:
    allowed = "an object of text, numbers, true, false, or lists of these"
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise InvalidCallError("query", type_name(value), allowed)
    pairs = []
    for name, values in value.items():
        if not isinstance(name, str) or not name or _SURROGATE.search(name):
            raise InvalidCallError("query", f"an object with the name {_shown(name)}", "names of at least 1 character")
        if values == []:
            raise InvalidCallError(f"query.{_shown(name)[1:-1]}", "an empty list", allowed)
        for item in values if isinstance(values, list) else [values]:
            text = _query_text(item)
            if text is None:
                raise InvalidCallError(f"query.{_shown(name)[1:-1]}", type_name(item), allowed)
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
        raise InvalidCallError("headers", type_name(value), "an object of text")
    pairs: dict[str, tuple[str, str]] = {}
    for name, text in value.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise InvalidCallError(
                "headers", f"an object with the name {_shown(name)}", "names of ASCII letters, digits and -"
            )
        field_name = f"headers.{_shown(name)[1:-1]}"
        if _RESERVED_HEADERS.fullmatch(name.lower()):
            raise InvalidCallError(field_name, "a header that the client or the connection sets", "any other header")
        if name.lower() in pairs:
            raise InvalidCallError(field_name, "given twice", "each name once, whatever its case")
        if not isinstance(text, str) or not PRINTABLE.fullmatch(text):
            raise InvalidCallError(
                field_name, type_name(text), "printable ASCII text that neither starts nor ends with a space"
            )
        pairs[name.lower()] = (name, text)
    return tuple(pairs.values())


def _body(event: dict[str, Any], method: str, headers: dict[str, str], max_bytes: int) -> tuple[bytes | None, str]:
    """Return the body's bytes and the content type that goes with them."""
    value, is_base64 = event.get("body"), event.get("base64", False)
    if not isinstance(is_base64, bool):
        raise InvalidCallError("base64", type_name(is_base64), "true or false")
    if value is None:
        return None, ""
    if method in ("GET", "HEAD"):
        raise InvalidCallError("body", type_name(value), f"no body with {method}")
    given = next((text for name, text in headers.items() if name.lower() == "content-type"), "application/json")
    type_ = given.partition(";")[0].strip().lower()
    if isinstance(value, bytes):
        body, content_type = value, "application/octet-stream"
    elif is_base64:
        body, content_type = _decode_base64(value), "application/octet-stream"
    elif type_ != "application/json" and not type_.endswith("+json"):
        body, content_type = _encode_text(value, given), given
    else:
        body, content_type = _encode_json(value), "application/json"
    if len(body) > max_bytes:
        raise InvalidCallError("body", f"{len(body)} bytes", f"at most {max_bytes} bytes")
    return body, content_type


def _decode_base64(value: object) -> bytes:
    if isinstance(value, str):
        with suppress(ValueError):
            return base64.b64decode(value, validate=True)
    raise InvalidCallError("body", type_name(value), "Base64, since base64 is true")


def _encode_text(value: object, content_type: str) -> bytes:
    if isinstance(value, str):
        with suppress(ValueError):
            return media_type.encode(value, media_type.parse(content_type)[1])
    allowed = f"text in the charset of Content-Type ({content_type[:100]}), or Base64 with base64 true"
    raise InvalidCallError("body", type_name(value), allowed)


def _encode_json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        place, what = "body", type_name(value)
        with suppress(RecursionError):
            place, what = next(_not_json_parts(value, "body"), (place, what))
        raise InvalidCallError(place[:200], what, "JSON, without NaN, infinity or lone surrogates") from error


def _not_json_parts(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Yield where in a body something is that JSON does not have, and what it is."""
    match value:
        case dict():
            for name, item in value.items():
                if not isinstance(name, str | int | float | None) or _SURROGATE.search(str(name)):
                    yield place, f"an object with a name that is {type_name(name)}"
                yield from _not_json_parts(item, f"{place}.{_shown(str(name))[1:-1]}")
        case list() | tuple():
            for number, item in enumerate(value):
                yield from _not_json_parts(item, f"{place}.{number}")
        case str() if _SURROGATE.search(value):
            yield place, "text with a lone surrogate"
        case float() if not math.isfinite(value):
            yield place, str(value)
        case str() | bool() | float() | None:
            pass
        case int():
            with suppress(ValueError):
                str(value)
                return
            yield place, "an integer of too many digits"
        case _:
            yield place, type_name(value)


def _idempotency_key(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 255 or not PRINTABLE.fullmatch(value):
        raise InvalidCallError("idempotency_key", _shown(value), "1 to 255 characters of printable ASCII")
    return value


def _shown(value: Any) -> str:
    """Return a value for a message: text as it is, up to a length, and of anything else only its type."""
    if not isinstance(value, str):
        return type_name(value)
    return repr(value if len(value) <= 100 else value[:100] + "…")


def type_name(value: object) -> str:
    """Return what a value is, without its content."""
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    names = {bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list"}
    if value is None:
        return "null"
    return next((name for type_, name in names.items() if isinstance(value, type_)), f"a Python {type(value).__name__}")
