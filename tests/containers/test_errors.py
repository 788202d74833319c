"""What Lambda shows of every typed error: the real payload of the real runtime."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from access.templates import ACCOUNTS
from cross_account_api import errors
from tests.containers.variants import FAULTY, Invoke

# Type, the path that the faulty API is asked for, message.
FAULTS = [
    (
        "RedirectError",
        "/302",
        "The API answered 302 fault: as asked (request id request-1). "
        "Account B: API_URL must be the API's own address; a redirect is never followed.",
    ),
    (
        "RejectedError",
        "/400",
        "The API answered 400 fault: as asked (request id request-1). Account B: mend the call.",
    ),
    (
        "RefusedError",
        "/403",
        "The API answered 403 fault: as asked (request id request-1). Account A: the API refuses this caller.",
    ),
    (
        "ExpiredSessionError",
        "/403/ExpiredTokenException",
        "The API answered 403 ExpiredTokenException: as asked (request id request-1). "
        "The session is refused although it is new. Account B: check the clock and the partition of API_URL.",
    ),
    (
        "NotFoundError",
        "/404",
        "The API answered 404 fault: as asked (request id request-1). Account B: check the path and the ids in it.",
    ),
    (
        "ConflictError",
        "/409",
        "The API answered 409 fault: as asked (request id request-1). "
        "Account B: the same idempotency key is in use, or the thing has changed meanwhile.",
    ),
    (
        "InProgressError",
        "/409/in_progress",
        "The API answered 409 in_progress: as asked (request id request-1). It asks to wait 1 s. "
        "Account A: an earlier attempt with this idempotency key has not ended.",
    ),
    (
        "ThrottledError",
        "/429",
        "The API answered 429 fault: as asked (request id request-1). Account A: raise the stage's throttling. "
        "Account B: lower the queue's concurrency.",
    ),
    (
        "ServerError",
        "/500",
        "The API answered 500 fault: as asked (request id request-1). "
        "Account A: find the request id in the API's access log, then in the backend's log.",
    ),
    (
        "GarbledAnswerError",
        "/garbled",
        "The answer's content type is JSON but its body is not (request id request-1). "
        "Account A: mend the backend's answer.",
    ),
    (
        "AnswerTooLargeError",
        "/too-large",
        "The answer's body is over 6000000 bytes. Account B: ask for less. Account A: answer in pages.",
    ),
    (
        "UnreachableError",
        "/hang-up",
        "No complete answer from the API: ProtocolError: Remote end closed connection without response. "
        "Account B: check API_URL and the way out of the network. Account A: check that the API is there.",
    ),
]
OTHERS = {"AssumeRoleError", "DeadlineError", "InvalidCallError", "SettingsError"}


@pytest.fixture(scope="module")
def failures(caller: Invoke) -> dict[str, Any]:
    """The payload for each path of the faulty API; those that are tried again for long are waited for together."""
    paths = [path for _, path, _ in FAULTS]

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


@pytest.mark.parametrize(("name", "path", "message"), FAULTS, ids=[name for name, *_ in FAULTS])
def test_an_answer_that_is_none(failures: dict[str, Any], name: str, path: str, message: str) -> None:
    payload = failures[path]
    assert payload["errorType"] == name
    assert payload["errorMessage"] == message


def test_a_call_that_breaks_a_rule(caller: Invoke) -> None:
    payload = caller({"path": "/whoami", "retries": 5})
    assert payload["errorType"] == "InvalidCallError"
    assert payload["errorMessage"] == (
        "call is an object with the unknown field 'retries'. Allowed: method, path, query, headers, body, "
        "idempotency_key. Account B: mend the call; nothing was sent."
    )


def test_a_setting_that_is_wrong(caller: Invoke) -> None:
    payload = caller({"path": "/whoami"}, "WrongSettings")
    assert payload["errorType"] == "SettingsError"
    assert payload["errorMessage"].startswith("API_URL is 'http://api.example.com'. It must be https://")


def test_a_role_that_cannot_be_assumed(caller: Invoke) -> None:
    payload = caller({"path": "/whoami"}, "WrongExternalId")
    assert payload["errorType"] == "AssumeRoleError"
    assert re.match(rf"No session of arn:aws:iam::{ACCOUNTS['a']}:role/\S+: AccessDenied: ", payload["errorMessage"]), (
        payload["errorMessage"]
    )
    assert "another" not in payload["errorMessage"], "the external id is nobody's to read"


def test_every_type_is_here() -> None:
    """But for the three that only stand for others."""
    types = {name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, Exception)}
    assert {name for name, *_ in FAULTS} | OTHERS == types - {"CallerError", "AnswerError", "ApiError"}


def test_a_backend_that_is_set_up_wrongly_does_not_start(backend: Invoke) -> None:
    payload = backend({}, "WrongSettings")
    assert payload["errorType"] == "ValueError"
    assert payload["errorMessage"] == (
        "environment variable EXECUTOR_ROLE_IDS must match AROA[A-Z0-9]+(,AROA[A-Z0-9]+)*,?, not 'ExecutorRole'"
    )
