"""Any change between the client and the API is detected by the signature."""

import io
import re
from datetime import timedelta

import pytest

from cross_account_api import Call
from cross_account_lab.judge.sigv4 import INCOMPLETE, INVALID, MISSING, UNKNOWN, Credentials, parse_date, receive
from tests.wire.world import World

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


@pytest.fixture
def genuine(world: World) -> str:
    """One genuine request as it arrived."""
    world.gateway.keys["AKIDOTHER"] = Credentials("other", "other-token")
    with world.client() as client:
        client.send(CALL)
    [request] = world.gateway.accepted
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers)]
    return "\r\n".join([*lines, "", request.body.decode()])


def send(world: World, text: str) -> tuple[int, str]:
    """Return status and error type of the response to a request."""
    request = receive(io.BytesIO(text.encode()))
    assert request
    response = world.gateway(request)
    return response.status, response.headers.get("x-amzn-ErrorType", "")


@pytest.mark.parametrize(
    ("pattern", "replacement", "error_type"),
    [
        # Method, path, query
        ("^POST ", "PUT ", INVALID),
        ("/v1/orders/", "/v2/orders/", INVALID),
        ("/orders/a%20b", "/orders/a%2520b", INVALID),
        ("/orders/a%20b", "/orders/a%20b/", INVALID),
        ("limit=5", "limit=6", INVALID),
        ("&limit=5", "", INVALID),
        ("status=accepted&status=cancelled", "status=accepted%26status=cancelled", INVALID),
        # Signed headers
        (r"(host: 127\.0\.0\.1):\d+", r"\1:1", INVALID),
        (r"(host: .*\r\n)", r"\1\1", INCOMPLETE),
        (r"(x-amz-date: .*)T.{7}", r"\1T000000", INCOMPLETE),
        (r"(x-amz-content-sha256: )\w+", r"\1UNSIGNED-PAYLOAD", INVALID),
        (r"x-amz-security-token: .*\r\n", "", INVALID),
        (r"(x-amz-security-token: )\S+", r"\1other-token", UNKNOWN),
        (r"(host: )", r"x-amz-meta-role: admin\r\n\1", INVALID),
        # Body
        ('"quantity":2', '"quantity":3', INVALID),
        (r'content-length: \d+((?s:.*))\{"sku".*', r"content-length: 0\1", INVALID),
        # Authorization
        (r"authorization: .*\r\n", "", MISSING),
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA1 ", INCOMPLETE),
        ("Credential=AKIDEXAMPLE/", "Credential=AKIDOTHER/", UNKNOWN),
        (r"(Credential=\w+)/\d{8}/", r"\1/20200101/", INVALID),
        ("/aws4_request", "/aws4_response", INVALID),
        ("SignedHeaders=host;", "SignedHeaders=", INVALID),
        ("SignedHeaders=host;", "SignedHeaders=host;host;", INVALID),
        (r"(Signature=)\w+", r"\g<1>" + "0" * 64, INVALID),
    ],
)
def test_a_change_in_transit_is_refused(
    world: World, genuine: str, pattern: str, replacement: str, error_type: str
) -> None:
    changed, count = re.subn(pattern, replacement, genuine)
    assert (count, changed != genuine) == (1, True)
    assert send(world, changed) == (403, error_type)


@pytest.mark.parametrize(("seconds", "verdict"), [(0, (200, "")), (-400, (403, INVALID)), (400, (403, INVALID))])
def test_a_genuine_request_is_accepted_again_but_not_at_another_time(
    world: World, genuine: str, seconds: int, verdict: tuple[int, str]
) -> None:
    """Signatures do not prevent a replay within five minutes."""
    world.gateway.clock = timedelta(seconds=seconds)
    assert send(world, genuine) == verdict


@pytest.mark.parametrize("seconds", [1, 86400])
def test_another_date_is_refused_even_in_both_places(world: World, genuine: str, seconds: int) -> None:
    [date] = re.findall(r"x-amz-date: (\S+)", genuine)
    moment = parse_date(date)
    assert moment
    moved, world.gateway.clock = moment + timedelta(seconds=seconds), timedelta(seconds=seconds)
    changed = genuine.replace(date, f"{moved:%Y%m%dT%H%M%SZ}").replace(f"/{date[:8]}/", f"/{moved:%Y%m%d}/")
    assert send(world, changed) == (403, INVALID)
