"""Who may do what: every kind of caller tries every route for real, and what happened is held against what should."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from requests import Response

from lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from lab.lab import USER, Lab

ROUTES = ("GET /whoami", "POST /orders", "GET /orders", "GET /orders/{order_id}", "DELETE /orders/{order_id}")

_ORDER = {"sku": "green-tea", "quantity": 1}
_API_ERROR = re.compile(r"The API answered (?P<status>[0-9]{3}) (?P<error>\w+)")


@dataclass(frozen=True)
class Outcome:
    """What a caller met on a route.

    Attributes:
        status: HTTP status of the API's answer; None if there was no session to sign a request with.
        error: Error code of the refusal by STS or by API Gateway; empty if there was none.
    """

    status: int | None
    error: str = ""


@dataclass(frozen=True)
class Caller:
    """A kind of caller.

    Attributes:
        name: Who it is.
        expected: What it should meet, an outcome for each of `ROUTES`.
        attempt: Tries a method and a path of the API as this caller does.
    """

    name: str
    expected: tuple[Outcome, ...]
    attempt: Callable[[str, str], Outcome]


def observe(lab: Lab) -> dict[Caller, tuple[Outcome, ...]]:
    """Let every caller try every route, all callers at the same time.

    Args:
        lab: A deployed lab in which this was not done yet, since it makes users.

    Returns:
        What each caller met, an outcome for each of `ROUTES`; legitimate callers come first.
    """
    everyone = _callers(lab)
    who = lab.assume_executor(lab.user_key, _session_name(ACCOUNT_B))
    order_id = lab.request("POST", "/orders", who, **_rest("POST")).json()["order_id"]

    def try_routes(caller: Caller) -> tuple[Outcome, ...]:
        return tuple(caller.attempt(*route.format(order_id=order_id).split()) for route in ROUTES)

    with ThreadPoolExecutor(len(everyone)) as pool:
        return dict(zip(everyone, pool.map(try_routes, everyone), strict=True))


def _callers(lab: Lab) -> list[Caller]:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    admin = lab.user(ACCOUNT_A, "admin", everything)
    other = lab.user(ACCOUNT_B, "other-user")
    stranger = lab.user(ACCOUNT_C, "stranger", everything)

    @cache
    def session() -> Credentials:
        return lab.assume_executor(lab.user_key, _session_name(ACCOUNT_B))

    def signing(credentials: Callable[[], Credentials | None]) -> Callable[[str, str], Outcome]:
        def attempt(method: str, path: str) -> Outcome:
            try:
                who = credentials()
            except ClientError as error:
                return Outcome(None, error.response["Error"]["Code"])
            return _outcome(lab.request(method, path, who, **_rest(method)))

        return attempt

    def expired(method: str, path: str) -> Outcome:
        # The emulator forgets an expired session when the next one begins, whosever it is, and then knows it no more.
        for _ in range(10):
            who = lab.assume_executor(lab.user_key, _session_name(ACCOUNT_B), seconds=1)
            time.sleep(1.05)
            outcome = _outcome(lab.request(method, path, who, **_rest(method)))
            if outcome.error != "UnrecognizedClientException":
                break
        return outcome

    def tampered(method: str, path: str) -> Outcome:
        request = lab.signed(method, path, session(), **_rest(method))
        request.url = f"{request.url}?limit=100"
        return _outcome(lab.send(request))

    def by_function(method: str, path: str) -> Outcome:
        call = {"method": method, "path": path}
        answer = lab.invoke(call | ({"body": _ORDER, "idempotency_key": USER} if method == "POST" else {}))
        if "status" in answer:
            return Outcome(answer["status"])
        refusal = _API_ERROR.match(answer["errorMessage"])
        return Outcome(int(refusal["status"]), refusal["error"]) if refusal else Outcome(None, answer["errorType"])

    granted = (Outcome(200), Outcome(201), Outcome(200), Outcome(200), Outcome(403, "AccessDeniedException"))
    no_session = (Outcome(None, "AccessDenied"),) * len(ROUTES)

    def refused(error: str) -> tuple[Outcome, ...]:
        return (Outcome(403, error),) * len(ROUTES)

    return [
        Caller("scheduled caller", granted, by_function),
        Caller(USER, granted, signing(session)),
        Caller("other user of B", no_session, signing(lambda: lab.assume_executor(other, _session_name(ACCOUNT_B)))),
        Caller("user of C", no_session, signing(lambda: lab.assume_executor(stranger, _session_name(ACCOUNT_C)))),
        Caller("admin of A", refused("AccessDeniedException"), signing(lambda: admin)),
        Caller("unsigned", refused("MissingAuthenticationTokenException"), signing(lambda: None)),
        Caller("tampered", refused("InvalidSignatureException"), tampered),
        Caller("expired", refused("ExpiredTokenException"), expired),
        Caller(
            "wrong ExternalId",
            no_session,
            signing(lambda: lab.assume_executor(lab.user_key, _session_name(ACCOUNT_B), external_id="wrong")),
        ),
        Caller(
            "spoofed session",
            no_session,
            signing(lambda: lab.assume_executor(lab.user_key, _session_name(ACCOUNT_C))),
        ),
    ]


def _session_name(account: str) -> str:
    return f"{ACCOUNT_IDS[account]}-{USER}"


def _rest(method: str) -> dict[str, Any]:
    return {"body": _ORDER, "headers": {"Idempotency-Key": USER}} if method == "POST" else {}


def _outcome(response: Response) -> Outcome:
    return Outcome(response.status_code, response.headers.get("x-amzn-errortype", ""))
