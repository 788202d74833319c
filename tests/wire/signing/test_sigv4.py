"""The verifier passes AWS's published test suite."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import pytest

from cross_account_lab.judge.sigv4 import (
    Credentials,
    MalformedRequestError,
    RefusedError,
    Request,
    canonical_request,
    receive,
    signature,
    string_to_sign,
    verify,
)


class Case(TypedDict):
    """A case of AWS's suite: a signed request, and the two intermediate texts of its signature."""

    signed_request: str
    canonical_request: str
    string_to_sign: str


CASES: dict[str, Case] = json.loads((Path(__file__).parent / "aws4_testsuite/cases.json").read_text())
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
DATE = "20150830T123600Z"
SCOPE = "20150830/us-east-1/service/aws4_request"

# The two cases that API Gateway would not accept.
NOT_ACCEPTED = {
    # The token is added after signing, which the suite's notes leave to each service; API Gateway wants it signed.
    "post-sts-token/post-sts-header-after": "unsigned",
    # Published with the signature of get-vanilla, which does not match its own string to sign.
    "get-vanilla-with-session-token": "does not match",
}


def request_of(case: Case) -> Request:
    """Read a case's request, which lacks the line endings and the content length of a real one."""
    head, _, body = case["signed_request"].partition("\n\n")
    request = receive(io.BytesIO(head.replace("\n", "\r\n").encode() + b"\r\n\r\n"))
    assert request is not None
    return replace(request, body=body.encode())


def verified(request: Request) -> str:
    token = next(iter(request.values("x-amz-security-token")), None)
    return verify(
        request,
        {"AKIDEXAMPLE": Credentials(SECRET_KEY, token)},
        region="us-east-1",
        service="service",
        now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
    )


def signed_headers_of(case: Case) -> list[str]:
    return case["canonical_request"].splitlines()[-2].split(";")


def test_the_suite_is_complete() -> None:
    assert len(CASES) == 34


@pytest.mark.parametrize("name", CASES)
def test_canonical_request_and_string_to_sign_are_as_published(name: str) -> None:
    case = CASES[name]
    canonical = canonical_request(request_of(case), signed_headers_of(case))
    assert canonical == case["canonical_request"]
    assert string_to_sign(canonical, DATE, SCOPE) == case["string_to_sign"]


@pytest.mark.parametrize("name", sorted(CASES.keys() - NOT_ACCEPTED))
def test_the_published_request_is_accepted(name: str) -> None:
    assert verified(request_of(CASES[name])) == "AKIDEXAMPLE"


@pytest.mark.parametrize(("name", "reason"), NOT_ACCEPTED.items())
def test_the_exceptions_are_refused_for_their_reason(name: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        verified(request_of(CASES[name]))


def test_the_wrong_published_signature_is_that_of_another_case() -> None:
    published = [CASES[name]["signed_request"][-64:] for name in ("get-vanilla", "get-vanilla-with-session-token")]
    assert published[0] == published[1]
    assert published[1] != signature(SECRET_KEY, SCOPE, CASES["get-vanilla-with-session-token"]["string_to_sign"])


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_an_ambiguous_request_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedRequestError, match=r"line|header|body|content-length"):
        receive(io.BytesIO(raw))


def test_a_closed_connection_is_not_a_request() -> None:
    assert receive(io.BytesIO(b"")) is None
