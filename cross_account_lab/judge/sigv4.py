"""Signature Version 4 on the receiving side, written from AWS's specification alone.

It shares no code with the signers that it verifies, and passes AWS's published test suite. Text is Latin-1 throughout:
one character per byte on the wire.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
MISMATCH = "The signature does not match."
INVALID, INCOMPLETE = "InvalidSignatureException", "IncompleteSignatureException"
MISSING, UNKNOWN = "MissingAuthenticationTokenException", "UnrecognizedClientException"
EXPIRED = "ExpiredTokenException"
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

    @property
    def authorization(self) -> re.Match[str] | None:
        """The parts of the Authorization header; None unless there is one, and well-formed."""
        values = self.values("authorization")
        return AUTHORIZATION.fullmatch(values[0]) if len(values) == 1 else None

    @property
    def access_key(self) -> str:
        """The access key that claims to have signed it; empty if none does."""
        return self.authorization["access_key"] if self.authorization else ""


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
        self.reason = reason


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
            payload_hash(request),
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
    for fault in find_faults(request, keys, region=region, service=service, now=now):
        raise fault
    return request.access_key


def find_faults(
    request: Request, keys: Mapping[str, Credentials], *, region: str, service: str, now: datetime
) -> Iterator[RefusedError]:
    """Yield all reasons to refuse a request, in the order in which a service would find them."""
    authorization = request.authorization
    if not authorization:
        yield _no_authorization(request)
        return
    names, access_key = authorization["signed_headers"].split(";"), authorization["access_key"]
    dates = request.values("x-amz-date")
    date = dates[0] if len(dates) == 1 else ""
    given = authorization.group("date", "region", "service", "terminator")
    expected = (date[:8] if parse_date(date) else given[0], region, service, "aws4_request")
    credentials = keys.get(access_key)
    yield from _header_faults(request, names)
    yield from _date_faults(date, now)
    for name, is_, ought in zip(("date", "region", "service", "end"), given, expected, strict=True):
        if is_ != ought:
            yield RefusedError(INVALID, f"The {name} in the credential scope is {is_}; it must be {ought}.")
    tokens = request.values("x-amz-security-token")
    if credentials is None:
        yield RefusedError(UNKNOWN, f"The access key {access_key} does not exist here.")
    elif not tokens and credentials.token:
        yield RefusedError(UNKNOWN, "X-Amz-Security-Token is missing: the access key belongs to a session.")
    elif tokens != [credentials.token] * bool(credentials.token):
        yield RefusedError(UNKNOWN, "X-Amz-Security-Token is not the token of this access key.")
    yield from _body_faults(request, service)
    if credentials:
        # In the request's own scope, so that a wrong region does not hide what else is wrong.
        scope = "/".join(given)
        right = signature(credentials.secret_key, scope, string_to_sign(canonical_request(request, names), date, scope))
        if not hmac.compare_digest(right.encode(), authorization["signature"].encode("latin-1")):
            yield RefusedError(INVALID, MISMATCH)
        if credentials.expires is not None and credentials.expires <= now:
            yield RefusedError(EXPIRED, "The session has expired: get a new one, and sign the request with it.")


def digest(request: Request) -> str:
    """Return the hash of a request's body."""
    return hashlib.sha256(request.body).hexdigest()


def payload_hash(request: Request) -> str:
    """Return what is signed of the body: its hash, unless the request says that it is not signed."""
    return UNSIGNED if UNSIGNED in request.values("x-amz-content-sha256") else digest(request)


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


def _no_authorization(request: Request) -> RefusedError:
    match len(request.values("authorization")):
        case 0 if "X-Amz-Signature=" in request.target:
            reason = "The signature is in the query (a presigned URL), which is not checked here"
            return RefusedError(MISSING, f"{reason}: use the Authorization header.")
        case 0:
            reason = "There is no Authorization header: the request is not signed."
            return RefusedError(MISSING, reason)
        case 1:
            form = "Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=NAME;NAME, Signature=HEX"
            return RefusedError(INCOMPLETE, f"The Authorization header is malformed: AWS4-HMAC-SHA256 {form}")
        case number:
            return RefusedError(INCOMPLETE, f"There are {number} Authorization headers instead of one.")


def _header_faults(request: Request, names: list[str]) -> Iterator[RefusedError]:
    if names != sorted(set(names)):
        yield RefusedError(INVALID, "SignedHeaders are not sorted, or a name is repeated.")
    if missing := [name for name in names if not request.values(name)]:
        yield RefusedError(INVALID, f"SignedHeaders name headers that did not arrive: {', '.join(missing)}.")
    required = {"host"} | {name for name, _ in request.headers if name.startswith("x-amz-")}
    # awscurl and others leave this one unsigned. It is compared with the body, whose hash is signed.
    required -= {"x-amz-content-sha256"}
    if unsigned := sorted(required - set(names)):
        yield RefusedError(INVALID, f"Headers that must be signed are not in SignedHeaders: {', '.join(unsigned)}.")
    if len(request.values("host")) != 1:
        yield RefusedError(INCOMPLETE, f"There are {len(request.values('host'))} Host headers instead of one.")


def _date_faults(date: str, now: datetime) -> Iterator[RefusedError]:
    moment = parse_date(date)
    if moment is None:
        yield RefusedError(INCOMPLETE, "There must be one X-Amz-Date header, such as 20261129T120000Z.")
    elif abs(moment - now) > CLOCK_SKEW:
        seconds = (moment - now).total_seconds()
        side = "ahead of" if seconds > 0 else "behind"
        yield RefusedError(
            INVALID,
            f"X-Amz-Date is {abs(seconds):.0f} s {side} the clock here ({now:%Y%m%dT%H%M%SZ}); 300 are allowed.",
        )


def _body_faults(request: Request, service: str) -> Iterator[RefusedError]:
    hashes = request.values("x-amz-content-sha256")
    if service == "vpc-lattice-svcs":
        if hashes != [UNSIGNED]:
            yield RefusedError(INVALID, f"X-Amz-Content-Sha256 must be {UNSIGNED}.")
    elif not {digest(request)}.issuperset(hashes):
        yield RefusedError(
            INVALID, f"X-Amz-Content-Sha256 is not the hash of the body that arrived, {digest(request)}."
        )


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


def canonical_query(
    query: str,
    decode: Callable[[str], str] = lambda text: unquote(text, "latin-1"),
    arrange: Callable[[Iterable[tuple[str, str]]], Sequence[tuple[str, str]]] = sorted,
) -> str:
    """Return a query as it is signed: decoded, encoded again, and sorted."""
    items = (item.partition("=") for item in query.split("&") if item)
    pairs = arrange((encoded(decode(name)), encoded(decode(value))) for name, _, value in items)
    return "&".join(f"{name}={value}" for name, value in pairs)


def canonical_value(values: Sequence[str]) -> str:
    """Return the values of a header as they are signed."""
    return ",".join(re.sub(" +", " ", value) for value in values)
