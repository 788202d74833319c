"""The faults, and what the caller does about each: one case is one row of the table in docs/operations.md."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from cross_account_api import errors
from tests.faults import backend, faults
from tests.faults.backend import ORDERS, RECORDS
from tests.support.aws.certificates import Authority
from tests.faults.speedup import paced
from tests.faults.account_a import gateway_error, refusal, sts_error
from tests.support.aws.loopback import ConnectionFault, Fault, RequestFault, Response, Server, always, once
from tests.faults.testbed import World, order

type Injection = Callable[[World, bool], AbstractContextManager[None]]
type Making = Callable[[World], Fault]

PAUSES = 16
"""Seconds: five pauses of at most 0.5, 1, 2, 4 and 8 s between six attempts that fail at once, rounded up."""
TIMEOUT = 90
"""Seconds: the function's own, which no invocation may reach."""
STS = 19
"""Seconds: three attempts of at most 5 s, and two pauses of at most 1 and 2 s, rounded up."""


@dataclass(frozen=True)
class Case:
    """A fault and what comes of it.

    Attributes:
        fault: What goes wrong.
        inject: Makes it go wrong as long as the block lasts; or if its second argument is false, once.
        passing: Requests until success if it happens once; None if that is not enough to pass.
        attempts: Requests of one invocation while it lasts.
        error: What an invocation ends with while it lasts; None if it succeeds nevertheless.
        seconds: How long an invocation takes at most while it lasts.
        ordered: Whether the order exists although the caller has had no good answer.
        mends: Whether the same call succeeds once the fault is gone.
        call: Makes the call from an idempotency key.
        prepare: What happens before.
        cold: Whether it concerns execution environments that have no session yet.
        receives: How often the queue delivers the call at most: two deliveries show what five would.
    """

    fault: str
    inject: Injection
    passing: int | None
    attempts: int
    error: type[errors.CallerError] | None
    seconds: float = PAUSES
    ordered: bool = False
    mends: bool = True
    call: Callable[[str], dict[str, Any]] = order
    prepare: Callable[[World], None] = field(default=lambda _: None)
    cold: bool = False
    receives: int = 2


def at_api(fault: Fault | Making) -> Injection:
    return _at(lambda world: world.provider.api, fault)


def at_sts(fault: Fault | Making) -> Injection:
    return _at(lambda world: world.provider.sts, fault)


def _at(server: Callable[[World], Server], fault: Fault | Making) -> Injection:
    @contextmanager
    def inject(world: World, lasting: bool) -> Iterator[None]:
        chosen = fault if isinstance(fault, ConnectionFault | RequestFault) else fault(world)
        server(world).misbehave(always(chosen) if lasting else once(chosen))
        yield
        server(world).behave()

    return inject


def out_of_reach(begin: Callable[[World], AbstractContextManager[None]]) -> Injection:
    def inject(world: World, lasting: bool) -> AbstractContextManager[None]:
        return begin(world)

    return inject


def told(status: int, retry_after: str | Callable[[], str] = "") -> Injection:
    """Have the API answer with a status of its own."""

    def answer() -> Response:
        given = retry_after if isinstance(retry_after, str) else retry_after()
        return gateway_error(status, {"Retry-After": given} if given else {})

    return at_api(faults.answering(answer))


def refused(code: str, message: str) -> Injection:
    return at_api(faults.answering(refusal(code, message)))


def redirected(status: int) -> Injection:
    """Have the API send the caller to a stranger, who takes down what it is told."""
    return at_api(
        lambda world: faults.answering(Response(status, {"Location": f"{world.stranger.url}/v1/orders"}, b""))
    )


def date_in(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@contextmanager
def unknown_host(world: World, lasting: bool) -> Iterator[None]:
    world.restart(API_URL="https://api.invalid/v1")
    yield
    world.restart()


@contextmanager
def wrong_clock(world: World, lasting: bool) -> Iterator[None]:
    world.provider.clock = timedelta(minutes=10)
    yield
    world.provider.clock = timedelta()


@contextmanager
def nothing(world: World, lasting: bool) -> Iterator[None]:
    """Let all be well, except for the call itself."""
    yield


def open_session(world: World) -> None:
    """Have a session that the API has accepted."""
    assert not world.invoke({"path": "/whoami"}).error


def open_old_session(world: World) -> None:
    """Have a session that has been good for more than a minute."""
    open_session(world)
    time.sleep(paced(70))


def open_short_session(world: World) -> None:
    """Have a session that is due for its early renewal: fifteen minutes before its end."""
    world.provider.session_seconds = 14 * 60
    open_session(world)


@contextmanager
def expired_sessions(world: World, lasting: bool) -> Iterator[None]:
    world.provider.expire_sessions()
    if lasting:
        with at_api(faults.answering(refusal("ExpiredTokenException", "expired")))(world, True):
            yield
    else:
        yield


@contextmanager
def revoked_sessions(world: World, lasting: bool) -> Iterator[None]:
    if lasting:
        with refused("AccessDeniedException", "not authorized, with an explicit deny")(world, True):
            yield
    else:
        world.provider.revoke_sessions()
        yield


def untrusted(world: World) -> Fault:
    return faults.presenting(Authority().tls())


def for_another_host(world: World) -> Fault:
    return faults.presenting(world.authority.tls(host="api.example"))


def out_of_date(world: World) -> Fault:
    return faults.presenting(world.authority.tls(not_after=datetime.now(UTC) - timedelta(days=1)))


def unknown_order(key: str) -> dict[str, Any]:
    return {"path": f"/orders/{uuid.uuid5(uuid.NAMESPACE_OID, key)}"}


def reused_key(key: str) -> dict[str, Any]:
    return order(key, idempotency_key="used")


def use_key(world: World) -> None:
    assert not world.invoke(order("used")).error


def transient(
    fault: str, inject: Injection, error: type[errors.CallerError] = errors.UnreachableError, **more: Any
) -> Case:
    """A fault after which the caller tries again."""
    return Case(fault, inject, error=error, **{"passing": 2, "attempts": 6} | more)


def final(fault: str, inject: Injection, error: type[errors.CallerError], **more: Any) -> Case:
    """A fault that would be the same at once again."""
    return Case(fault, inject, error=error, **{"passing": None, "attempts": 1, "seconds": 1} | more)


def no_session(fault: str, inject: Injection, *, passing: int | None, seconds: float = 1) -> Case:
    """A fault that leaves the caller without a session, so that the API is not even asked."""
    return Case(fault, inject, passing, attempts=0, error=errors.AssumeRoleError, seconds=seconds, cold=True)


def long(seconds: float, **more: Any) -> dict[str, Any]:
    """Return what is expected when each of six attempts takes some seconds more."""
    return {"seconds": PAUSES + 6 * seconds} | more


STALLED: dict[str, Any] = {"attempts": 3, "error": errors.DeadlineError, "seconds": TIMEOUT}
LOST: dict[str, Any] = {"ordered": True}

CASES = [
    # Those that take longest come first, since the suite runs several at a time.
    transient("answer stalls before its first byte", at_api(faults.stalled_head), **STALLED),
    transient(
        "order written, answer stalls before its first byte", at_api(faults.stalled_head_after_work), **STALLED, **LOST
    ),
    transient("order written, answer stalls in its body", at_api(faults.stalled_body), **STALLED, **LOST),
    transient("order written, answer drips byte by byte", at_api(faults.dripping), **STALLED, **LOST),
    transient(
        "connection attempts time out", out_of_reach(lambda world: world.provider.api.deaf()), passing=None, **long(3)
    ),
    transient("TLS handshake stalls", at_api(faults.stalled_handshake), **long(3)),
    transient("connection refused", out_of_reach(lambda world: world.provider.api.refusing()), passing=None),
    transient("unknown host name", unknown_host, passing=None),
    transient("connection reset before the TLS handshake", at_api(faults.reset_at_once)),
    transient("certificate of an unknown authority", at_api(untrusted)),
    transient("certificate for another host", at_api(for_another_host)),
    transient("certificate out of date", at_api(out_of_date)),
    transient("no TLS at all", at_api(faults.no_tls)),
    transient(
        "connection reset before the request is read",
        at_api(lambda world: faults.after_handshake(world.authority.tls())),
    ),
    transient("connection reset after the request is read", at_api(faults.reset_after_request)),
    transient("order written, connection reset before the answer", at_api(faults.reset_after_work), **LOST),
    transient("order written, answer cut in its head", at_api(faults.cut_head), **LOST),
    transient("order written, answer cut in its body", at_api(faults.cut_body), **LOST),
    transient("answer is not HTTP", at_api(faults.not_http)),
    transient("answer with endless headers", at_api(faults.endless_head)),
    transient(
        "order written, answer is truncated JSON", at_api(faults.truncated_json), errors.GarbledAnswerError, **LOST
    ),
    transient(
        "order written, answer calls itself JSON and is not", at_api(faults.not_json), errors.GarbledAnswerError, **LOST
    ),
    Case("answer of another content type", at_api(faults.wrong_type), 1, 1, None, seconds=1, ordered=True),
    Case("answer without a body", at_api(faults.no_body), 1, 1, None, seconds=1, ordered=True),
    final("order written, answer of 7 MB", at_api(faults.huge), errors.AnswerTooLargeError, seconds=5, **LOST),
    final(
        "order written, answer of 100 MB packed into 0.5",
        at_api(faults.bomb),
        errors.AnswerTooLargeError,
        seconds=5,
        prepare=lambda _: faults.packed(),
        **LOST,
    ),
    final(
        "order written, answer without an end",
        at_api(faults.endless_body),
        errors.AnswerTooLargeError,
        seconds=5,
        **LOST,
    ),
    # What the API says
    transient("429", told(429), errors.ThrottledError),
    transient("429, Retry-After: 2", told(429, "2"), errors.ThrottledError, **long(2)),
    transient("429, Retry-After: a date in 5 s", told(429, lambda: date_in(5)), errors.ThrottledError, **long(5)),
    transient("429, Retry-After: a date in the past", told(429, lambda: date_in(-3600)), errors.ThrottledError),
    transient("429, Retry-After: -5 or soon", told(429, "-5"), errors.ThrottledError),
    final("429, Retry-After: 120", told(429, "120"), errors.DeadlineError),
    final("429, Retry-After: 99999999999999999999", told(429, "9" * 20), errors.DeadlineError),
    transient("500", told(500), errors.ServerError),
    transient("502", told(502), errors.ServerError),
    transient("503", told(503), errors.ServerError),
    transient("503, Retry-After: 1", told(503, "1"), errors.ServerError, **long(1)),
    transient("504", told(504), errors.ServerError),
    transient("409, Retry-After: 1 (same key still at work)", told(409, "1"), errors.InProgressError, **long(1)),
    final("409", told(409), errors.ConflictError),
    final("301 to another host", redirected(301), errors.RedirectError),
    final("302 to another host", redirected(302), errors.RedirectError),
    final("307 to another host", redirected(307), errors.RedirectError),
    final("308 to another host", redirected(308), errors.RedirectError),
    final(
        "400 from the backend",
        nothing,
        errors.RejectedError,
        call=lambda key: order(key, body={"sku": ""}),
        mends=False,
    ),
    final("404 from the backend", nothing, errors.NotFoundError, call=unknown_order, mends=False),
    final(
        "422 from the backend: key used for another order",
        nothing,
        errors.RejectedError,
        call=reused_key,
        prepare=use_key,
        mends=False,
    ),
    final(
        "call of an unknown form",
        nothing,
        errors.InvalidCallError,
        attempts=0,
        call=lambda key: order(key, url="/orders"),
        mends=False,
    ),
    # Sessions
    final(
        "403: role's policy",
        refused("AccessDeniedException", "User is not authorized to perform: execute-api:Invoke"),
        errors.RefusedError,
    ),
    final("403: AWS WAF", refused("ForbiddenException", "Forbidden"), errors.RefusedError),
    final("403: clocks ten minutes apart", wrong_clock, errors.RefusedError),
    final(
        "403: session expired",
        expired_sessions,
        errors.ExpiredSessionError,
        passing=2,
        attempts=2,
        prepare=open_session,
    ),
    final(
        "403: session unknown",
        refused("UnrecognizedClientException", "The security token is invalid."),
        errors.ExpiredSessionError,
        passing=2,
        attempts=2,
    ),
    final("403: session revoked", revoked_sessions, errors.RefusedError, passing=2, prepare=open_old_session),
    Case(
        "STS out of reach while the session is renewed early",
        out_of_reach(lambda world: world.provider.sts.refusing()),
        1,
        1,
        None,
        seconds=STS,
        ordered=True,
        prepare=open_short_session,
    ),
    no_session(
        "STS out of reach", out_of_reach(lambda world: world.provider.sts.refusing()), passing=None, seconds=STS
    ),
    no_session("STS does not answer", at_sts(faults.stalled_head), passing=1, seconds=STS),
    no_session(
        "STS throttles", at_sts(faults.answering(sts_error(400, "Throttling", "Rate exceeded"))), passing=1, seconds=STS
    ),
    no_session(
        "STS answers 500",
        at_sts(faults.answering(sts_error(500, "InternalFailure", "internal"))),
        passing=1,
        seconds=STS,
    ),
    no_session(
        "STS answers 503",
        at_sts(faults.answering(sts_error(503, "ServiceUnavailable", "down"))),
        passing=1,
        seconds=STS,
    ),
    no_session(
        "STS: AccessDenied", at_sts(faults.answering(sts_error(403, "AccessDenied", "not authorized"))), passing=None
    ),
    no_session(
        "STS: the function's own credentials are expired",
        at_sts(faults.answering(sts_error(403, "ExpiredToken", "expired"))),
        passing=None,
    ),
    no_session(
        "STS: clocks ten minutes apart",
        at_sts(faults.answering(sts_error(403, "SignatureDoesNotMatch", "Signature expired"))),
        passing=None,
    ),
    # The backend and its tables
    transient(
        "DynamoDB throttles the order",
        at_api(faults.failing("PutItem", ORDERS, backend.throttle)),
        errors.ServerError,
        **long(1),
    ),
    transient(
        "DynamoDB throttles the idempotency record",
        at_api(faults.failing("PutItem", RECORDS, backend.throttle)),
        errors.ServerError,
        **long(1),
    ),
    transient(
        "order written, DynamoDB throttles the record of it",
        at_api(faults.failing("UpdateItem", RECORDS, backend.throttle)),
        errors.ApiError,
        passing=None,
        **long(1),
        **LOST,
    ),
    transient(
        "order written, DynamoDB's answer is lost",
        at_api(faults.failing("PutItem", ORDERS, backend.lose_response)),
        errors.ServerError,
        **long(1),
        **LOST,
    ),
    transient("order written, answer and idempotency record are lost", at_api(faults.forget_after_work), **LOST),
    transient(
        "backend killed before the order is written",
        at_api(faults.failing("PutItem", ORDERS, backend.kill)),
        errors.ApiError,
        passing=None,
        **long(1),
    ),
    transient(
        "backend killed after the order was written",
        at_api(faults.failing("UpdateItem", RECORDS, backend.kill)),
        errors.ApiError,
        passing=None,
        **long(1),
        **LOST,
    ),
]
