"""The faults and how the caller handles them: each case is a row in docs/faults.md."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from cross_account_api import errors
from cross_account_lab.judge.gateway import gateway_error, refusal
from cross_account_lab.judge.loopback import HOST, ConnectionFault, Fault, RequestFault, Response, Server, always, once
from cross_account_lab.judge.sts import sts_error
from tests.support.certificates import Authority
from tests.wire.faults import faults
from tests.wire.faults.testbed import TestBed, order

type Injection = Callable[[TestBed, bool], AbstractContextManager[None]]
"""Injects a fault for as long as the block lasts if its second argument is true, else once."""
type FaultFactory = Callable[[TestBed], Fault]

PAUSES = 16
"""Seconds: five pauses of at most 0.5, 1, 2, 4 and 8 s between six attempts that fail at once, rounded up."""
TIMEOUT = 90
"""Seconds: the function's own, which no invocation may reach."""
STS = 19
"""Seconds: three attempts of at most 5 s, and two pauses of at most 1 and 2 s, rounded up."""


@dataclass(frozen=True)
class Case:
    """A fault and its outcome.

    Attributes:
        fault: What goes wrong.
        transient: Requests until success if it happens once; None if the call fails all the same.
        attempts: Requests of one invocation while it persists.
        error: How an invocation ends while it persists; None if it succeeds.
        seconds: The longest that an invocation waits while it persists.
        ordered: Whether the order exists although the caller got no usable response.
        recovers: Whether the same call succeeds once the fault is gone.
        parked: Whether a queued call goes to FailedCallQueue after its first delivery.
        call: Makes the call from an idempotency key.
        prepare: Called before the fault.
        cold: Whether it needs an execution environment without a session.
        receives: How often the queue delivers the call at most: two deliveries show what five would.
    """

    fault: str
    inject: Injection
    transient: int | None
    attempts: int
    error: type[errors.CallError] | None
    seconds: float = PAUSES
    ordered: bool = False
    recovers: bool = True
    parked: bool = False
    call: Callable[[str], dict[str, Any]] = order
    prepare: Callable[[TestBed], None] = field(default=lambda _: None)
    cold: bool = False
    receives: int = 2


def at_api(fault: Fault | FaultFactory) -> Injection:
    return _at(lambda bed: bed.provider.api, fault)


def at_sts(fault: Fault | FaultFactory) -> Injection:
    return _at(lambda bed: bed.provider.sts, fault)


def _at(server: Callable[[TestBed], Server], fault: Fault | FaultFactory) -> Injection:
    @contextmanager
    def inject(bed: TestBed, persistent: bool) -> Iterator[None]:
        chosen = fault if isinstance(fault, ConnectionFault | RequestFault) else fault(bed)
        server(bed).inject(always(chosen) if persistent else once(chosen))
        yield
        server(bed).clear()

    return inject


def unreachable(begin: Callable[[TestBed], AbstractContextManager[None]]) -> Injection:
    def inject(bed: TestBed, persistent: bool) -> AbstractContextManager[None]:
        return begin(bed)

    return inject


def responding(status: int, retry_after: str | Callable[[], str] = "") -> Injection:
    """Let the API respond with a status, without doing the work."""

    def response() -> Response:
        value = retry_after if isinstance(retry_after, str) else retry_after()
        return gateway_error(status, {"Retry-After": value} if value else {})

    return at_api(faults.responding(response))


def refused(code: str, message: str) -> Injection:
    return at_api(faults.responding(refusal(code, message)))


def redirected(status: int) -> Injection:
    """Let the API redirect the caller to a third party, which records what it receives."""
    return at_api(lambda bed: faults.responding(Response(status, {"Location": f"{bed.third_party.url}/v1/orders"})))


def date_in(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@contextmanager
def unknown_host(bed: TestBed, persistent: bool) -> Iterator[None]:
    bed.restart(API_URL="https://api.invalid/v1")
    yield
    bed.restart()


@contextmanager
def wrong_clock(bed: TestBed, persistent: bool) -> Iterator[None]:
    bed.provider.gateway.clock = timedelta(minutes=10)
    yield
    bed.provider.gateway.clock = timedelta()


@contextmanager
def nothing(bed: TestBed, persistent: bool) -> Iterator[None]:
    """Inject nothing: the call itself is the fault."""
    yield


def open_session(bed: TestBed) -> None:
    """Open a session."""
    assert not bed.invoke({"path": "/whoami"}).error


def open_old_session(bed: TestBed) -> None:
    """Open a session that the API has accepted for more than a minute."""
    open_session(bed)
    bed.environment.wait(70)


def open_short_session(bed: TestBed) -> None:
    """Open a session that is due for its early refresh, fifteen minutes before it expires."""
    bed.provider.sessions.lifetime = timedelta(minutes=14)
    open_session(bed)


@contextmanager
def expired_sessions(bed: TestBed, persistent: bool) -> Iterator[None]:
    bed.provider.expire_sessions()
    if persistent:
        with at_api(faults.responding(refusal("ExpiredTokenException", "expired")))(bed, True):
            yield
    else:
        yield


@contextmanager
def revoked_sessions(bed: TestBed, persistent: bool) -> Iterator[None]:
    if persistent:
        with refused("AccessDeniedException", "not authorized, with an explicit deny")(bed, True):
            yield
    else:
        bed.provider.revoke_sessions()
        yield


def untrusted(bed: TestBed) -> Fault:
    return faults.presenting(Authority().tls(HOST))


def for_another_host(bed: TestBed) -> Fault:
    return faults.presenting(bed.authority.tls("api.example"))


def out_of_date(bed: TestBed) -> Fault:
    return faults.presenting(bed.authority.tls(HOST, not_after=datetime.now(UTC) - timedelta(days=1)))


def unknown_order(key: str) -> dict[str, Any]:
    return {"path": f"/orders/{uuid.uuid5(uuid.NAMESPACE_OID, key)}"}


def reused_key(key: str) -> dict[str, Any]:
    return order(key, idempotency_key="used")


def use_key(bed: TestBed) -> None:
    assert not bed.invoke(order("used")).error


def retried(
    fault: str, inject: Injection, error: type[errors.CallError] = errors.ConnectionFailedError, **more: Any
) -> Case:
    """A fault after which the caller retries."""
    return Case(fault, inject, error=error, **{"transient": 2, "attempts": 6} | more)


def final(fault: str, inject: Injection, error: type[errors.CallError], **more: Any) -> Case:
    """A fault that a retry would meet again."""
    parked = issubclass(error, errors.ApiError | errors.InvalidCallError)
    return Case(fault, inject, error=error, **{"transient": None, "attempts": 1, "seconds": 1, "parked": parked} | more)


def no_session(fault: str, inject: Injection, *, transient: int | None, seconds: float = 1) -> Case:
    """A fault that leaves the caller without a session, so that no request reaches the API."""
    return Case(fault, inject, transient, attempts=0, error=errors.AssumeRoleError, seconds=seconds, cold=True)


def long(seconds: float, **more: Any) -> dict[str, Any]:
    """Expect each of six attempts to take that many seconds longer."""
    return {"seconds": PAUSES + 6 * seconds} | more


STALLED: dict[str, Any] = {"attempts": 3, "error": errors.DeadlineError, "seconds": TIMEOUT}
LOST: dict[str, Any] = {"ordered": True}

CASES = [
    # The longest come first, since the suite runs several at a time.
    retried("response stalls before its first byte", at_api(faults.stalled_head), **STALLED),
    retried(
        "order written, response stalls before its first byte",
        at_api(faults.stalled_head_after_work),
        **STALLED,
        **LOST,
    ),
    retried("order written, response stalls in its body", at_api(faults.stalled_body), **STALLED, **LOST),
    retried("order written, response drips a byte per second", at_api(faults.dripping(1)), **STALLED, **LOST),
    retried("order written, response drips a byte in 8 s", at_api(faults.dripping(8)), **STALLED, **LOST),
    retried(
        "connection attempts time out",
        unreachable(lambda bed: bed.provider.api.unresponsive()),
        transient=None,
        **long(3),
    ),
    retried("TLS handshake stalls", at_api(faults.stalled_handshake), **long(3)),
    retried("connection refused", unreachable(lambda bed: bed.provider.api.refusing()), transient=None),
    retried("unknown host name", unknown_host, transient=None),
    retried("connection reset before the TLS handshake", at_api(faults.reset_at_once)),
    final("certificate of an unknown authority", at_api(untrusted), errors.CertificateError),
    final("certificate for another host", at_api(for_another_host), errors.CertificateError),
    final("certificate out of date", at_api(out_of_date), errors.CertificateError),
    retried("no TLS at all", at_api(faults.no_tls)),
    retried(
        "connection reset before the request is read",
        at_api(lambda bed: faults.after_handshake(bed.authority.tls(HOST))),
    ),
    retried("connection reset after the request is read", at_api(faults.reset_after_request)),
    retried("order written, connection reset before the response", at_api(faults.reset_after_work), **LOST),
    retried("order written, response cut in its head", at_api(faults.cut_head), **LOST),
    retried("order written, response cut in its body", at_api(faults.cut_body), **LOST),
    retried("response is not HTTP", at_api(faults.not_http)),
    retried("response with endless headers", at_api(faults.endless_head)),
    retried(
        "order written, response is truncated JSON", at_api(faults.truncated_json), errors.InvalidResponseError, **LOST
    ),
    retried(
        "order written, response claims to be JSON and is not",
        at_api(faults.not_json),
        errors.InvalidResponseError,
        **LOST,
    ),
    Case("response with another content type", at_api(faults.wrong_type), 1, 1, None, seconds=1, ordered=True),
    Case("response without a body", at_api(faults.no_body), 1, 1, None, seconds=1, ordered=True),
    final(
        "order written, response of 11 MB",
        at_api(faults.huge(11_000_000)),
        errors.ResponseTooLargeError,
        **LOST,
    ),
    final(
        "order written, response of 100 MB compressed to 0.5 MB",
        at_api(faults.gzip_bomb),
        errors.ResponseTooLargeError,
        prepare=lambda _: faults.packed(),
        **LOST,
    ),
    final(
        "order written, endless response",
        at_api(faults.endless_body),
        errors.ResponseTooLargeError,
        **LOST,
    ),
    # Statuses
    retried("429", responding(429), errors.ThrottledError),
    retried("429, Retry-After: 2", responding(429, "2"), errors.ThrottledError, **long(2)),
    retried("429, Retry-After: a date in 5 s", responding(429, lambda: date_in(5)), errors.ThrottledError, **long(5)),
    retried("429, Retry-After: a date in the past", responding(429, lambda: date_in(-3600)), errors.ThrottledError),
    retried("429, Retry-After: -5 or soon", responding(429, "-5"), errors.ThrottledError),
    final("429, Retry-After: 120", responding(429, "120"), errors.DeadlineError),
    final("429, Retry-After: 99999999999999999999", responding(429, "9" * 20), errors.DeadlineError),
    retried("500", responding(500), errors.ServerError),
    retried("502", responding(502), errors.ServerError),
    retried("503", responding(503), errors.ServerError),
    retried("503, Retry-After: 1", responding(503, "1"), errors.ServerError, **long(1)),
    retried("504", responding(504), errors.ServerError),
    retried(
        "409, Retry-After: 1 (the same key is in progress)", responding(409, "1"), errors.InProgressError, **long(1)
    ),
    final("409", responding(409), errors.ConflictError),
    final("301 to another host", redirected(301), errors.RedirectError),
    final("302 to another host", redirected(302), errors.RedirectError),
    final("307 to another host", redirected(307), errors.RedirectError),
    final("308 to another host", redirected(308), errors.RedirectError),
    final(
        "400 from the backend",
        nothing,
        errors.BadRequestError,
        call=lambda key: order(key, body={"sku": ""}),
        recovers=False,
    ),
    final("404 from the backend", nothing, errors.NotFoundError, call=unknown_order, recovers=False),
    final(
        "422 from the backend: key used for another order",
        nothing,
        errors.BadRequestError,
        call=reused_key,
        prepare=use_key,
        recovers=False,
    ),
    final(
        "call with an unknown field",
        nothing,
        errors.InvalidCallError,
        attempts=0,
        call=lambda key: order(key, url="/orders"),
        recovers=False,
    ),
    # Sessions
    final(
        "403: role's policy",
        refused("AccessDeniedException", "User is not authorized to perform: execute-api:Invoke"),
        errors.ForbiddenError,
    ),
    final("403: AWS WAF", refused("ForbiddenException", "Forbidden"), errors.ForbiddenError),
    final("403: clocks ten minutes apart", wrong_clock, errors.ForbiddenError),
    final(
        "403: session expired",
        expired_sessions,
        errors.ExpiredSessionError,
        transient=2,
        attempts=2,
        prepare=open_session,
    ),
    final(
        "403: session unknown",
        refused("UnrecognizedClientException", "The security token is invalid."),
        errors.ExpiredSessionError,
        transient=2,
        attempts=2,
    ),
    final("403: session revoked", revoked_sessions, errors.ForbiddenError, transient=2, prepare=open_old_session),
    Case(
        "STS unreachable during an early refresh of the session",
        unreachable(lambda bed: bed.provider.sts.refusing()),
        1,
        1,
        None,
        seconds=STS,
        ordered=True,
        prepare=open_short_session,
    ),
    no_session("STS unreachable", unreachable(lambda bed: bed.provider.sts.refusing()), transient=None, seconds=STS),
    no_session("STS does not respond", at_sts(faults.stalled_head), transient=1, seconds=STS),
    no_session(
        "STS throttles",
        at_sts(faults.responding(sts_error(400, "Throttling", "Rate exceeded"))),
        transient=1,
        seconds=STS,
    ),
    no_session(
        "STS responds with 500",
        at_sts(faults.responding(sts_error(500, "InternalFailure", "internal"))),
        transient=1,
        seconds=STS,
    ),
    no_session(
        "STS responds with 503",
        at_sts(faults.responding(sts_error(503, "ServiceUnavailable", "down"))),
        transient=1,
        seconds=STS,
    ),
    no_session(
        "STS: AccessDenied", at_sts(faults.responding(sts_error(403, "AccessDenied", "not authorized"))), transient=None
    ),
    no_session(
        "STS: the function's own credentials have expired",
        at_sts(faults.responding(sts_error(403, "ExpiredToken", "expired"))),
        transient=None,
    ),
    no_session(
        "STS: clocks ten minutes apart",
        at_sts(faults.responding(sts_error(403, "SignatureDoesNotMatch", "Signature expired"))),
        transient=None,
    ),
]
