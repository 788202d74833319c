"""Signature Version 4 on the receiving side, written from AWS's specification alone.

It shares no code with the signers that it verifies, and passes AWS's published test suite. Text is Latin-1 throughout:
one character per byte on the wire.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO
from urllib.parse import quote, unquote

CLOCK_SKEW = timedelta(minutes=5)
"""How far a request's date may be from the receiver's."""

UNSIGNED = "UNSIGNED-PAYLOAD"
"""What X-Amz-Content-Sha256 says at VPC Lattice, which supports nothing else."""

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<access_key>[^/,]+)/(?P<date>[^/,]+)/(?P<region>[^/,]+)/(?P<service>[^/,]+)/"
    r"(?P<terminator>[^/,]+), *SignedHeaders=(?P<signed_headers>[^,]+), *Signature=(?P<signature>[^,]+)"
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received.

    Attributes:
        target: Path and query, undecoded.
        headers: Names in lower case and stripped values, in the order received.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """Return all values of a header; its name is in lower case."""
        return [value for given, value in self.headers if given == name]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What belongs to an access key; a long-term key has no token and does not expire."""

    secret_key: str
    token: str | None = None
    expires: datetime | None = None


class RefusedError(Exception):
    """The request is refused; `code` is the error type that API Gateway responds with."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


class MalformedRequestError(Exception):
    """The request is malformed, ambiguous or truncated."""


def receive(stream: BinaryIO) -> Request | None:
    """Read one HTTP/1.1 request (RFC 9112) strictly: anything that two parsers could read differently is an error.

    Returns:
        None if the connection ended before a request began.

    Raises:
        MalformedRequestError: It is malformed, ambiguous or truncated.
    """
    line = stream.readline()
    if not line:
        return None
    method, _, rest = _line(line).partition(" ")
    target, _, version = rest.rpartition(" ")
    if not _TOKEN.fullmatch(method) or not target.startswith("/") or version != "HTTP/1.1":
        raise MalformedRequestError(f"request line {line!r}")
    headers = _headers(stream)
    request = Request(method, target, headers)
    if request.values("transfer-encoding"):
        raise MalformedRequestError("a body of unknown length")
    match request.values("content-length"):
        case []:
            return request
        case [length] if re.fullmatch("[0-9]+", length):
            body = stream.read(int(length))
            if len(body) < int(length):
                raise MalformedRequestError(f"{len(body)} bytes of a body of {length}")
            return Request(method, target, headers, body)
        case lengths:
            raise MalformedRequestError(f"content-length {lengths}")


def canonical_request(request: Request, signed_headers: Sequence[str]) -> str:
    """Return the canonical request: the form of a request that is hashed for its signature."""
    path, _, query = request.target.partition("?")
    return "\n".join(
        [
            request.method,
            encoded(normalized(path), safe="/"),
            canonical_query(query),
            *(f"{name}:{canonical_value(request.values(name))}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            UNSIGNED if UNSIGNED in request.values("x-amz-content-sha256") else digest(request),
        ]
    )


def string_to_sign(canonical: str, date: str, scope: str) -> str:
    """Return the string to sign; the scope is `DATE/REGION/SERVICE/aws4_request`."""
    return "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()])


def signature(secret_key: str, scope: str, text: str) -> str:
    """Return the hexadecimal signature of a string to sign, made with the key derived for a scope."""
    return hmac.digest(signing_key(secret_key, scope), text.encode("latin-1"), "sha256").hex()


def signing_key(secret_key: str, scope: str) -> bytes:
    """Derive the key that signs in a scope."""
    key = b"AWS4" + secret_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def verify(request: Request, keys: Mapping[str, Credentials], *, region: str, service: str, now: datetime) -> str:
    """Verify a request as a service in a region would.

    Returns:
        The access key that signed it.

    Raises:
        RefusedError: The signature is missing, incomplete, wrong, or for another scope or time, or the session expired.
    """
    if not request.values("authorization"):
        raise RefusedError("MissingAuthenticationTokenException", "no Authorization header")
    authorization = AUTHORIZATION.fullmatch(_only(request, "authorization"))
    if not authorization:
        raise RefusedError("IncompleteSignatureException", "malformed Authorization header")
    signed_headers = authorization["signed_headers"].split(";")
    _check_signed_headers(request, signed_headers)

    date = _only(request, "x-amz-date")
    _check_date(date, now)
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    given = "/".join(authorization.group("date", "region", "service", "terminator"))
    if given != scope:
        raise RefusedError("InvalidSignatureException", f"scope {given} instead of {scope}")

    access_key = authorization["access_key"]
    credentials = keys.get(access_key)
    if credentials is None or request.values("x-amz-security-token") != [credentials.token] * bool(credentials.token):
        raise RefusedError("UnrecognizedClientException", "unknown access key, or another session token")

    hashes = request.values("x-amz-content-sha256")
    if service == "vpc-lattice-svcs" and hashes != [UNSIGNED]:
        raise RefusedError("InvalidSignatureException", f"X-Amz-Content-Sha256 is not {UNSIGNED}")
    if service != "vpc-lattice-svcs" and not {digest(request)}.issuperset(hashes):
        raise RefusedError("InvalidSignatureException", "X-Amz-Content-Sha256 is not that of the body")
    text = string_to_sign(canonical_request(request, signed_headers), date, scope)
    if not hmac.compare_digest(
        signature(credentials.secret_key, scope, text).encode(), authorization["signature"].encode("latin-1")
    ):
        raise RefusedError("InvalidSignatureException", "the signature does not match")
    if credentials.expires is not None and credentials.expires <= now:
        raise RefusedError("ExpiredTokenException", "the session has expired")
    return access_key


def digest(request: Request) -> str:
    """Return the hash of a request's body."""
    return hashlib.sha256(request.body).hexdigest()


def _line(line: bytes) -> str:
    if not line.endswith(b"\r\n"):
        raise MalformedRequestError(f"line {line!r}")
    return line[:-2].decode("latin-1")


def _headers(stream: BinaryIO) -> tuple[tuple[str, str], ...]:
    headers: list[tuple[str, str]] = []
    while line := _line(stream.readline()):
        name, colon, value = line.partition(":")
        if line[0] in " \t" and headers:
            # A folded line (RFC 9112, section 5.2): obsolete, but AWS's test suite has one.
            folded, before = headers.pop()
            headers.append((folded, f"{before} " + line.strip(" \t")))
        elif colon and _TOKEN.fullmatch(name):
            headers.append((name.lower(), value.strip(" \t")))
        else:
            raise MalformedRequestError(f"header {line!r}")
    return tuple(headers)


def _only(request: Request, name: str) -> str:
    match request.values(name):
        case [value]:
            return value
        case values:
            raise RefusedError("IncompleteSignatureException", f"{len(values)} headers {name} instead of one")


def _check_signed_headers(request: Request, signed_headers: list[str]) -> None:
    if signed_headers != sorted(set(signed_headers)) or any(not request.values(name) for name in signed_headers):
        raise RefusedError("InvalidSignatureException", "SignedHeaders unsorted, repeated or not in the request")
    required = {"host"} | {name for name, _ in request.headers if name.startswith("x-amz-")}
    # awscurl and others leave this one unsigned. It is compared with the body, whose hash is signed.
    required -= {"x-amz-content-sha256"}
    if not required <= set(signed_headers):
        raise RefusedError("InvalidSignatureException", f"unsigned: {sorted(required - set(signed_headers))}")
    _only(request, "host")


def _check_date(date: str, now: datetime) -> None:
    moment = parse_date(date)
    if moment is None:
        raise RefusedError("IncompleteSignatureException", f"X-Amz-Date {date!r}")
    if abs(now - moment) > CLOCK_SKEW:
        raise RefusedError("InvalidSignatureException", f"signed at {moment:%FT%T}, received at {now:%FT%T}")


def parse_date(date: str) -> datetime | None:
    """Return what X-Amz-Date says; None if it is malformed."""
    if not re.fullmatch("[0-9]{8}T[0-9]{6}Z", date):  # strptime is more lenient than the format
        return None
    try:
        return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def encoded(text: str, *, safe: str = "") -> str:
    """Percent-encode each byte but RFC 3986's unreserved characters and the safe ones."""
    return quote(text.encode("latin-1"), safe=safe)


def normalized(path: str) -> str:
    """Remove dot segments (RFC 3986, section 5.2.4) and empty segments, as every service but S3 does."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    is_folder = path.rpartition("/")[2] in {"", ".", ".."}
    return "/" + "/".join(segments) + ("/" if segments and is_folder else "")


def canonical_query(query: str) -> str:
    """Return a query as it is signed: decoded, encoded again, and sorted."""
    pairs = (item.partition("=") for item in query.split("&") if item)
    decoded = ((unquote(name, "latin-1"), unquote(value, "latin-1")) for name, _, value in pairs)
    return "&".join(
        f"{name}={value}" for name, value in sorted((encoded(name), encoded(value)) for name, value in decoded)
    )


def canonical_value(values: Sequence[str]) -> str:
    """Return the values of a header as they are signed."""
    return ",".join(re.sub(" +", " ", value) for value in values)
