"""How Lambda reports every typed error: the payload of the real runtime."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cross_account_access.templates import ACCOUNTS
from cross_account_api import errors
from cross_account_api.transport import MAX_RESPONSE_BYTES
from tests.lab.containers.variants import FAULTY, Invoke


def from_api(
    error: type[errors.ApiError], status: int, code: str = "fault", detail: str = "as asked", **fields: Any
) -> errors.ApiError:
    return error(status, request_id="request-1", code=code, detail=detail, **fields)


# The error, and the path for which the faulty API causes it.
FAULTS: list[tuple[errors.CallError, str]] = [
    (from_api(errors.RedirectError, 302, detail=""), "/302"),
    (from_api(errors.BadRequestError, 400), "/400"),
    (from_api(errors.ForbiddenError, 403), "/403"),
    (from_api(errors.ExpiredSessionError, 403, "ExpiredTokenException"), "/403/ExpiredTokenException"),
    (from_api(errors.NotFoundError, 404), "/404"),
    (from_api(errors.ConflictError, 409), "/409"),
    (from_api(errors.InProgressError, 409, "in_progress", retry_after=1), "/409/in_progress"),
    (from_api(errors.ThrottledError, 429), "/429"),
    (from_api(errors.ServerError, 500), "/500"),
    (errors.InvalidResponseError("request-1"), "/garbled"),
    (errors.ResponseTooLargeError(MAX_RESPONSE_BYTES + 1, MAX_RESPONSE_BYTES), "/too-large"),
    (
        errors.ConnectionFailedError(
            "ProtocolError: the connection was closed without a response", may_have_arrived=True
        ),
        "/hang-up",
    ),
]
OTHERS = {"AssumeRoleError", "CertificateError", "DeadlineError", "InvalidCallError", "SettingsError"}


@pytest.fixture(scope="module")
def failures(caller: Invoke) -> dict[str, Any]:
    """The payload for each path of the faulty API; the calls that take long are made in parallel."""
    paths = [path for _, path in FAULTS]

    def invoke(variant: str, some: list[str]) -> list[Any]:
        return [caller({"path": path}, variant) for path in some]

    shares = [paths[number :: len(FAULTY)] for number in range(len(FAULTY))]
    with ThreadPoolExecutor(len(FAULTY)) as threads:
        payloads = threads.map(invoke, FAULTY, shares)
        return {
            path: payload
            for share, some in zip(shares, payloads, strict=True)
            for path, payload in zip(share, some, strict=True)
        }


@pytest.mark.parametrize(("error", "path"), FAULTS, ids=[type(error).__name__ for error, _ in FAULTS])
def test_the_payload_shows_type_and_message(failures: dict[str, Any], error: errors.CallError, path: str) -> None:
    payload = failures[path]
    assert payload["errorType"] == type(error).__name__
    assert payload["errorMessage"] == str(error)


def test_a_call_that_breaks_a_rule(caller: Invoke) -> None:
    payload = caller({"path": "/whoami", "retries": 5})
    assert payload["errorType"] == "InvalidCallError"
    assert payload["errorMessage"].startswith("call is an object with the unknown field 'retries'. Allowed: ")
    assert payload["errorMessage"].endswith(" Account B: fix the call. No request was sent.")


def test_a_setting_that_is_wrong(caller: Invoke) -> None:
    payload = caller({"path": "/whoami"}, "WrongSettings")
    assert payload["errorType"] == "SettingsError"
    assert payload["errorMessage"].startswith("API_URL is 'http://api.example.com'. It must be ")


def test_a_role_that_cannot_be_assumed(caller: Invoke) -> None:
    payload = caller({"path": "/whoami"}, "WrongExternalId")
    assert payload["errorType"] == "AssumeRoleError"
    assert re.match(
        rf"Could not assume arn:aws:iam::{ACCOUNTS['a']}:role/\S+: AccessDenied: ", payload["errorMessage"]
    ), payload["errorMessage"]
    assert "another" not in payload["errorMessage"], "the external id is not shown"


def test_every_type_is_here() -> None:
    """Except the three base classes that are never raised."""
    types = {name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, Exception)}
    assert {type(error).__name__ for error, _ in FAULTS} | OTHERS == types - {"CallError", "ResponseError", "ApiError"}
