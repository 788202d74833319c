"""Calls every route as every kind of caller and compares the outcome with what the templates and the contract say."""

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_access.model import Route, load
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from cross_account_lab.lab import ACCESS, USER, Lab

NO_ROLE = "no role"
FAILED = "failed"
_FAULT = 500
_NOT_GRANTED = "AccessDeniedException"
_SESSION_B = f"{ACCOUNT_IDS[ACCOUNT_B]}-{USER}"
_SESSION_C = f"{ACCOUNT_IDS[ACCOUNT_C]}-{USER}"


@dataclass(frozen=True)
class Outcome:
    """A response's status, and the error with which STS or API Gateway refused.

    The status is `NO_ROLE` without a session to sign with, and `FAILED` if something else kept a response away.
    """

    status: int | str
    error: str = ""
    detail: str = field(default="", compare=False)  # what a failed backend said

    def __str__(self) -> str:
        return f"{self.status} {self.error}".strip()

    @property
    def is_fault(self) -> bool:
        """Whether the API answered 5xx."""
        return isinstance(self.status, int) and self.status >= _FAULT


@dataclass(frozen=True)
class Caller:
    """A kind of caller.

    `refusal` is the outcome of its requests, None if it may call what the contract grants, or `only` one route of it.
    """

    name: str
    refusal: Outcome | None
    attempt: Callable[[Route], Outcome]
    only: Route | None = None

    def expected(self, route: Route) -> Outcome:
        """Return the outcome that the contract promises."""
        if self.refusal:
            return self.refusal
        granted = route.promised and self.only in {None, route}
        return Outcome(route.status) if granted else Outcome(403, _NOT_GRANTED)


type Observations = dict[Caller, dict[Route, Outcome]]


@cache
def routes() -> tuple[Route, ...]:
    """Return the API's routes."""
    return load().routes


def least_route() -> Route:
    """Return the one route that account C may call where account B may call all."""
    return max(
        filter(lambda route: route.promised, routes()), key=lambda route: (route.method == "GET", "{" not in route.path)
    )


def admit_fewer(lab: Lab) -> None:
    """Let account C call one route, in a role of its own."""
    route = least_route()
    lab.grant(ACCOUNT_C, route.method + re.sub(r"\{\w+\}", "*", route.path))


def as_expected(caller: Caller, route: Route, outcome: Outcome) -> bool:
    """Return whether an outcome is the expected one."""
    expected = caller.expected(route)
    # An admitted caller may get any documented response of the backend: the resource in the example need not exist.
    documented = {status for status in route.statuses - {401, 403, 429} if status < 500}
    return outcome == expected or (expected.error == outcome.error == "" and outcome.status in documented)


def call_of(route: Route) -> dict[str, Any]:
    """Return a route's example as a call for CallerFunction or a queue."""
    example = route.example
    return {
        "method": route.method,
        "path": example.path,
        "query": dict(example.query),
        "headers": {name: value for name, value in example.headers.items() if name.lower() != "idempotency-key"},
        "body": example.body,
        "idempotency_key": example.idempotency_key or (USER if route.method in {"POST", "PATCH"} else None),
    }


def observe(lab: Lab) -> Observations:
    """Let every caller try every route, all callers at the same time; once in a lab, since it creates users.

    Account C has been admitted by `admit_fewer`.
    """
    me = lab.assume_executor(lab.user_key, _SESSION_B)
    everyone = _callers(lab, me)
    # Writes first, so that the other requests find what the examples name.
    for route in routes():
        if route.promised and route.method in {"POST", "PUT"}:
            lab.send(_signed(lab, route, me))

    with ThreadPoolExecutor(len(everyone)) as pool:
        outcomes = pool.map(lambda caller: {route: caller.attempt(route) for route in routes()}, everyone)
        return dict(zip(everyone, outcomes, strict=True))


def outcome_of(invocation: Mapping[str, Any]) -> Outcome:
    """Read the outcome from what CallerFunction returned; the emulator keeps the type of an error to itself."""
    if "status" in invocation:
        return Outcome(invocation["status"])
    message = invocation["errorMessage"]
    # The last one, since a call may be tried again until its time is up.
    if answers := re.findall(r"The API answered ([0-9]{3})(?: (\w+))?", message):
        status, error = answers[-1]
        return Outcome(int(status), error, message)
    if refusal := re.match(r"(?:Could not assume|No credentials from) \S+: (\w+)", message):
        return Outcome(NO_ROLE, refusal[1])
    return Outcome(FAILED, re.split("[:.]", message)[0])


def _callers(lab: Lab, me: Credentials) -> list[Caller]:
    """Return all kinds of callers, legitimate ones first."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    admin = lab.user(ACCOUNT_A, "admin", everything)
    other = lab.user(ACCOUNT_B, "other-user")
    stranger = lab.user(ACCOUNT_C, "stranger", everything)
    of_c = lab.user(ACCOUNT_C, USER, lab.may_assume_executor(ACCESS))
    mine, assume = lab.user_key, lab.assume_executor
    fewer = assume(of_c, _SESSION_C, stack=ACCESS)

    def signing(credentials: Callable[[], Credentials | None]) -> Callable[[Route], Outcome]:
        def attempt(route: Route) -> Outcome:
            try:
                who = credentials()
            except ClientError as error:
                return Outcome(NO_ROLE, error.response["Error"]["Code"])
            return _outcome(lab, _signed(lab, route, who))

        return attempt

    def expired(route: Route) -> Outcome:
        # The emulator forgets an expired session when any other begins, and then reports it as unknown.
        for _ in range(10):
            who = assume(mine, _SESSION_B, seconds=1)
            time.sleep(1.05)
            outcome = _outcome(lab, _signed(lab, route, who))
            if outcome.error != "UnrecognizedClientException":
                break
        return outcome

    def tampered(route: Route) -> Outcome:
        request = _signed(lab, route, me)
        request.url = f"{request.url}{'&' if '?' in str(request.url) else '?'}limit=100"
        return _outcome(lab, request)

    def by_function(route: Route) -> Outcome:
        return outcome_of(lab.invoke(call_of(route)))

    no_session = Outcome(NO_ROLE, "AccessDenied")
    return [
        Caller("scheduled caller", None, by_function),
        Caller(USER, None, signing(lambda: me)),
        Caller("C, fewer rights", None, signing(lambda: fewer), least_route()),
        Caller("other user of B", no_session, signing(lambda: assume(other, _SESSION_B))),
        Caller("user of C", no_session, signing(lambda: assume(stranger, _SESSION_C))),
        Caller("admin of A", Outcome(403, _NOT_GRANTED), signing(lambda: admin)),
        Caller("unsigned", Outcome(403, "MissingAuthenticationTokenException"), signing(lambda: None)),
        Caller("tampered", Outcome(403, "InvalidSignatureException"), tampered),
        Caller("expired", Outcome(403, "ExpiredTokenException"), expired),
        Caller("wrong ExternalId", no_session, signing(lambda: assume(mine, _SESSION_B, external_id="wrong"))),
        Caller("spoofed session", no_session, signing(lambda: assume(mine, _SESSION_C))),
    ]


def _signed(lab: Lab, route: Route, who: Credentials | None) -> AWSRequest:
    example = route.example
    return lab.signed(route.method, example.target, who, body=example.body, headers=example.headers)


def _outcome(lab: Lab, request: AWSRequest) -> Outcome:
    response = lab.send(request)
    detail = response.text if response.status_code >= _FAULT else ""
    return Outcome(response.status_code, response.headers.get("x-amzn-errortype", ""), detail)
