"""Any change between the client and the API is detected by the signature."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest

from cross_account_api import Call, Client
from cross_account_api.transport import Connections
from cross_account_lab.judge.gateway import Gateway
from cross_account_lab.judge.loopback import Server
from cross_account_lab.judge.sigv4 import Credentials, MalformedRequestError, RefusedError, Request, receive, verify
from tests.wire.signing.apis import FixedCredentials

KEY = "AKIDEXAMPLE"
KEYS = {KEY: Credentials("secret", "session+token=="), "AKIDOTHER": Credentials("other", "other-token")}
CALL = Call.parse(
    {
        "method": "POST",
        "path": "/orders/a b",
        "query": {"status": ["accepted", "cancelled"], "limit": "5"},
        "headers": {"X-Tenant": "blue"},
        "idempotency_key": "key-1",
        "body": {"sku": "ABC-1", "quantity": 2},
    }
)


class Wire:
    """The API's port, and the bytes of one genuine request as it arrived."""

    def __init__(self, port: int, genuine: bytes) -> None:
        self.port = port
        self.genuine = genuine

    def send(self, raw: bytes) -> tuple[int, str]:
        """Send bytes on a new connection; return status and error type of the response."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            response = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        error_type = re.search(r"x-amzn-ErrorType: (\S+)", response)
        return int(response.split()[1]), error_type[1] if error_type else ""

    def replaced(self, pattern: str, replacement: str) -> bytes:
        """Return the genuine request with the only match of a pattern replaced."""
        changed, count = re.subn(pattern, replacement, self.genuine.decode())
        assert count == 1, (pattern, self.genuine)
        assert changed.encode() != self.genuine
        return changed.encode()


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    gateway = Gateway({})
    gateway.keys |= KEYS
    with Server(gateway) as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("NO_PROXY", "*")
        gateway.regions |= {f"127.0.0.1:{server.port}": "eu-west-1", "127.0.0.1:1": "eu-west-1"}
        url = f"{server.url}/v1"
        with closing(Connections(url, 1)) as connections:
            credentials = FixedCredentials(KEY, "secret", KEYS[KEY].token)
            Client(url, region="eu-west-1", credentials=credentials, transport=connections).send(CALL)
        yield Wire(server.port, as_bytes(gateway.received[-1]))


def signed_at(request: Request) -> datetime:
    (date,) = request.values("x-amz-date")
    return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def as_bytes(request: Request) -> bytes:
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def test_the_genuine_request_is_accepted_again(wire: Wire) -> None:
    """Otherwise the refusals below would prove nothing. Signatures do not prevent a replay within five minutes."""
    assert wire.send(wire.genuine) == (200, "")


WRONG = "InvalidSignatureException"
INCOMPLETE = "IncompleteSignatureException"
UNKNOWN = "UnrecognizedClientException"
MISSING = "MissingAuthenticationTokenException"


@pytest.mark.parametrize(
    ("pattern", "replacement", "error_type"),
    [
        # Method and path
        ("^POST ", "PUT ", WRONG),
        ("^POST ", "post ", WRONG),
        ("/v1/orders/", "/v2/orders/", WRONG),
        ("/v1/orders/", "/v1/Orders/", WRONG),
        ("/orders/a%20b", "/orders/a%20c", WRONG),
        ("/orders/a%20b", "/orders/a+b", WRONG),
        ("/orders/a%20b", "/orders/a%2520b", WRONG),
        ("/orders/a%20b", "/orders/%61%20b", WRONG),
        ("/orders/a%20b", "/orders/a%20b/", WRONG),
        ("/orders/a%20b", "/orders%2Fa%20b", WRONG),
        ("/orders/a%20b", "/orders", WRONG),
        # Query
        ("limit=5", "limit=6", WRONG),
        ("limit=5", "limit=", WRONG),
        ("limit=5", "limit", WRONG),
        ("limit=5", "Limit=5", WRONG),
        ("limit=5", "limit=5&limit=5", WRONG),
        ("&limit=5", "", WRONG),
        ("status=accepted&", "", WRONG),
        ("status=accepted&status=cancelled", "status=accepted%26status=cancelled", WRONG),
        # Signed headers
        (r"(host: 127\.0\.0\.1):\d+", r"\1:1", WRONG),
        (r"host: .*\r\n", "", WRONG),
        (r"(host: .*\r\n)", r"\1\1", INCOMPLETE),
        (r"x-amz-date: .*\r\n", "", WRONG),
        (r"(x-amz-date: .*\r\n)", r"\1\1", INCOMPLETE),
        (r"(x-amz-date: .*)T.{7}", r"\1T000000", INCOMPLETE),
        (r"x-amz-content-sha256: .*\r\n", "", WRONG),
        (r"(x-amz-content-sha256: )\w+", r"\1UNSIGNED-PAYLOAD", WRONG),
        (r"x-amz-security-token: .*\r\n", "", WRONG),
        (r"(x-amz-security-token: )\S+", r"\1other-token", UNKNOWN),
        (r"(x-amz-security-token: .*\r\n)", r"\1\1", UNKNOWN),
        (r"(host: )", r"x-amz-meta-role: admin\r\n\1", WRONG),
        # Body
        ('"quantity":2', '"quantity":3', WRONG),
        (r'content-length: \d+((?s:.*))\{"sku".*', r"content-length: 0\1", WRONG),
        # Authorization: algorithm, key, scope, signed headers, signature
        (r"authorization: .*\r\n", "", MISSING),
        (r"(authorization: .*\r\n)", r"\1\1", INCOMPLETE),
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA1 ", INCOMPLETE),
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 ", INCOMPLETE),
        ("Credential=AKIDEXAMPLE/", "Credential=AKIDNOBODY/", UNKNOWN),
        ("Credential=AKIDEXAMPLE/", "Credential=AKIDOTHER/", UNKNOWN),
        (r"(Credential=\w+)/\d{8}/", r"\1/20200101/", WRONG),
        ("/eu-west-1/", "/us-east-1/", WRONG),
        ("/execute-api/", "/sts/", WRONG),
        ("/aws4_request", "/aws4_response", WRONG),
        ("/aws4_request", "", INCOMPLETE),
        ("SignedHeaders=host;", "SignedHeaders=", WRONG),
        (";x-amz-date;", ";", WRONG),
        (";x-amz-security-token", "", WRONG),
        (";x-amz-content-sha256", "", WRONG),
        ("SignedHeaders=host;", "SignedHeaders=host;host;", WRONG),
        ("SignedHeaders=host;", "SignedHeaders=content-type;host;", WRONG),
        (", SignedHeaders=[^,]*", "", INCOMPLETE),
        (r"(Signature=)\w+", r"\1", INCOMPLETE),
        (r"(Signature=)\w+", r"\g<1>" + "0" * 64, WRONG),
        (r"(Signature=\w{63})\w", r"\1", WRONG),
        (r"(Signature=\w{64})", r"\g<1>0", WRONG),
    ],
)
def test_a_change_in_transit_is_refused(wire: Wire, pattern: str, replacement: str, error_type: str) -> None:
    assert wire.send(wire.replaced(pattern, replacement)) == (403, error_type)


@pytest.mark.parametrize("seconds", [-86400, -400, 400, 86400])
def test_another_date_is_refused_even_in_both_places(wire: Wire, seconds: int) -> None:
    moved = datetime.now(UTC) + timedelta(seconds=seconds)
    raw = wire.replaced(r"(x-amz-date: )\w+", rf"\g<1>{moved:%Y%m%dT%H%M%SZ}")
    raw = re.sub(rb"(Credential=\w+)/\d{8}/", rb"\1/" + f"{moved:%Y%m%d}/".encode(), raw)
    assert wire.send(raw) == (403, WRONG)


def test_another_second_is_refused_although_the_clock_allows_it(wire: Wire) -> None:
    [date] = re.findall(r"x-amz-date: (\S+)", wire.genuine.decode())
    moved = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(seconds=1)
    assert wire.send(wire.replaced(date, f"{moved:%Y%m%dT%H%M%SZ}")) == (403, WRONG)


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_genuine_request_is_refused_at_another_time(wire: Wire, seconds: int) -> None:
    request = receive(io.BytesIO(wire.genuine))
    assert request is not None
    now = signed_at(request)
    assert verify(request, KEYS, region="eu-west-1", service="execute-api", now=now) == KEY
    with pytest.raises(RefusedError, match="received at"):
        verify(request, KEYS, region="eu-west-1", service="execute-api", now=now + timedelta(seconds=seconds))


def meaning(request: Request) -> tuple[object, ...]:
    """Return the parts that a signature protects: method, path, query in any order, signed headers, body."""
    path, _, query = request.target.partition("?")
    pairs = sorted(tuple(unquote(part) for part in item.partition("=")[::2]) for item in query.split("&") if item)
    [authorization] = request.values("authorization")
    names = re.search("SignedHeaders=([^,]+)", authorization)
    assert names is not None
    headers = [(name, [re.sub(" +", " ", value) for value in request.values(name)]) for name in names[1].split(";")]
    return request.method, path, pairs, headers, request.body


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_is_refused_or_means_the_same(wire: Wire, bit: int) -> None:
    genuine = receive(io.BytesIO(wire.genuine))
    assert genuine is not None
    now = signed_at(genuine)
    refused = 0
    for index in range(len(wire.genuine)):
        raw = bytearray(wire.genuine)
        raw[index] ^= 1 << bit
        try:
            request = receive(io.BytesIO(bytes(raw)))
            assert request is not None
            verify(request, KEYS, region="eu-west-1", service="execute-api", now=now)
        except (RefusedError, MalformedRequestError):
            refused += 1
        else:
            assert meaning(request) == meaning(genuine), bytes(raw)
    assert refused > len(wire.genuine) / 2
