"""The faults and how the caller handles them: each case is a row in docs/faults.md."""

import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ssl import SSLContext
from typing import Any

from cross_account_api import errors
from cross_account_lab.judge.gateway import gateway_error, refusal
from cross_account_lab.judge.loopback import HOST, ConnectionFault, Fault, RequestFault, Response, Server, always, once
from cross_account_lab.judge.sts import sts_error
from tests.support.certificates import Authority
from tests.wire.faults import faults
from tests.wire.faults.clock import CLOCK
from tests.wire.faults.testbed import TestBed, order

type Injection = Callable[[TestBed, bool], None]
"""Injects a fault, always if its second argument is true, else once; `TestBed.restore` ends it."""

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


def at(server: Callable[[TestBed], Server], fault: Fault | Callable[[TestBed], Fault]) -> Injection:
    def inject(bed: TestBed, persistent: bool) -> None:
        chosen = fault if isinstance(fault, ConnectionFault | RequestFault) else fault(bed)
        server(bed).inject(always(chosen) if persistent else once(chosen))

    return inject


def at_api(fault: Fault | Callable[[TestBed], Fault]) -> Injection:
    return at(lambda bed: bed.world.api, fault)


def at_sts(fault: Fault) -> Injection:
    return at(lambda bed: bed.world.sts, fault)


def unreachable(server: Callable[[TestBed], Server], error: OSError) -> Injection:
    """Let each attempt to connect end with an error."""

    def inject(bed: TestBed, persistent: bool) -> None:
        server(bed).clear()
        CLOCK.unreachable[server(bed).port] = error

    return inject


REFUSED, TIMED_OUT = ConnectionRefusedError(111, "Connection refused"), TimeoutError("timed out")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
sts_unreachable = unreachable(lambda bed: bed.world.sts, REFUSED)


def responding(status: int, retry_after: Callable[[], str] | str = "") -> Injection:
    """Let the API respond with a status, without doing the work."""

    def response() -> Response:
        value = retry_after if isinstance(retry_after, str) else retry_after()
        return gateway_error(status, {"Retry-After": value} if value else {})

    return at_api(faults.responding(response))


def refused(code: str, message: str) -> Injection:
    return at_api(faults.responding(refusal(code, message)))


def sts_refused(status: int, code: str, message: str) -> Injection:
    return at_sts(faults.responding(sts_error(status, code, message)))


def redirected(status: int) -> Injection:
    """Let the API redirect the caller to a third party, which records what it receives."""
    return at_api(lambda bed: faults.responding(Response(status, {"Location": f"{bed.third_party.url}/v1/orders"})))


def presenting(tls: Callable[[Authority], SSLContext]) -> Injection:
    """Let the API present another certificate."""
    return at_api(lambda bed: faults.presenting(tls(bed.authority)))


untrusted = presenting(lambda own: Authority(own.bundle.with_name("another.pem")).tls(HOST))
for_another_host = presenting(lambda own: own.tls("api.example"))
out_of_date = presenting(lambda own: own.tls(HOST, not_after=datetime.now(UTC) - timedelta(days=1)))


def date_in(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def wrong_clock(bed: TestBed, persistent: bool) -> None:
    bed.world.gateway.clock = timedelta(minutes=10)


def nothing(bed: TestBed, persistent: bool) -> None:
    """Inject nothing: the call itself is the fault."""


def open_session(bed: TestBed) -> None:
    """Open a session."""
    assert not bed.invoke({"path": "/whoami"}).error


def open_old_session(bed: TestBed) -> None:
    """Open a session that the API has accepted for more than a minute."""
    open_session(bed)
    bed.environment.wait(70)


def open_short_session(bed: TestBed) -> None:
    """Open a session that is due for its early refresh, fifteen minutes before it expires."""
    bed.world.sessions.lifetime = timedelta(minutes=14)
    open_session(bed)


def expired_sessions(bed: TestBed, persistent: bool) -> None:
    bed.expire_sessions()
    if persistent:
        refused("ExpiredTokenException", "expired")(bed, True)


def revoked_sessions(bed: TestBed, persistent: bool) -> None:
    if persistent:
        refused("AccessDeniedException", "not authorized, with an explicit deny")(bed, True)
    else:
        bed.revoke_sessions()


def unknown_order(key: str) -> dict[str, Any]:
    return {"path": f"/orders/{uuid.uuid5(uuid.NAMESPACE_OID, key)}"}


def reused_key(key: str) -> dict[str, Any]:
    return order(key, idempotency_key="used")


def use_key(bed: TestBed) -> None:
    assert not bed.invoke(order("used")).error


def case(fault: str, inject: Injection | Fault, **more: Any) -> Case:
    """A fault, of the API if nothing else is said; its name tells whether the order exists."""
    inject = at_api(inject) if isinstance(inject, ConnectionFault | RequestFault) else inject
    return Case(fault, inject, **{"ordered": fault.startswith("order written")} | more)


def retried(
    fault: str, inject: Injection | Fault, error: type[errors.CallError] = errors.ConnectionFailedError, **more: Any
) -> Case:
    """A fault after which the caller retries."""
    return case(fault, inject, error=error, **{"transient": 2, "attempts": 6} | more)


def final(fault: str, inject: Injection | Fault, error: type[errors.CallError], **more: Any) -> Case:
    """A fault that a retry would meet again."""
    parked = issubclass(error, errors.ApiError | errors.InvalidCallError)
    return case(fault, inject, error=error, **{"transient": None, "attempts": 1, "seconds": 1, "parked": parked} | more)


def wrong(fault: str, call: Callable[[str], dict[str, Any]], error: type[errors.CallError], **more: Any) -> Case:
    """A call that is itself the fault, and fails until somebody changes it."""
    return final(fault, nothing, error, call=call, recovers=False, **more)


def harmless(fault: str, inject: Injection | Fault, **more: Any) -> Case:
    return case(fault, inject, error=None, transient=1, attempts=1, ordered=True, **{"seconds": 1} | more)


def no_session(fault: str, inject: Injection, *, transient: int | None, seconds: float = 1) -> Case:
    """A fault that leaves the caller without a session, so that no request reaches the API."""
    return Case(fault, inject, transient, attempts=0, error=errors.AssumeRoleError, seconds=seconds, cold=True)


def long(seconds: float) -> dict[str, Any]:
    """Expect each of six attempts to take that many seconds longer."""
    return {"seconds": PAUSES + 6 * seconds}


STALLED: dict[str, Any] = {"attempts": 3, "error": errors.DeadlineError, "seconds": TIMEOUT}

CASES = [
    retried("response stalls before its first byte", faults.stalled_head, **STALLED),
    retried("order written, response stalls before its first byte", faults.stalled_head_after_work, **STALLED),
    retried("order written, response stalls in its body", faults.stalled_body, **STALLED),
    retried("order written, response drips a byte per second", faults.dripping(1), **STALLED),
    retried("order written, response drips a byte in 8 s", faults.dripping(8), **STALLED),
    retried(
        "connection attempts time out", unreachable(lambda bed: bed.world.api, TIMED_OUT), transient=None, **long(3)
    ),
    retried("TLS handshake stalls", faults.stalled_handshake, **long(3)),
    retried("connection refused", unreachable(lambda bed: bed.world.api, REFUSED), transient=None),
    retried("unknown host name", unreachable(lambda bed: bed.world.api, UNKNOWN), transient=None),
    retried("connection reset before the TLS handshake", faults.reset_at_once),
    final("certificate of an unknown authority", untrusted, errors.CertificateError),
    final("certificate for another host", for_another_host, errors.CertificateError),
    final("certificate out of date", out_of_date, errors.CertificateError),
    retried("no TLS at all", faults.no_tls),
    retried(
        "connection reset before the request is read",
        at_api(lambda bed: faults.after_handshake(bed.authority.tls(HOST))),
    ),
    retried("connection reset after the request is read", faults.reset_after_request),
    retried("order written, connection reset before the response", faults.reset_after_work),
    retried("order written, response cut in its head", faults.cut_head),
    retried("order written, response cut in its body", faults.cut_body),
    retried("response is not HTTP", faults.not_http),
    retried("response with endless headers", faults.endless_head),
    retried("order written, response is truncated JSON", faults.truncated_json, errors.InvalidResponseError),
    retried("order written, response claims to be JSON and is not", faults.not_json, errors.InvalidResponseError),
    harmless("response with another content type", faults.wrong_type),
    harmless("response without a body", faults.no_body),
    final("order written, response of 11 MB", faults.huge(11_000_000), errors.ResponseTooLargeError),
    final("order written, response of 100 MB compressed to 0.5 MB", faults.gzip_bomb, errors.ResponseTooLargeError),
    final("order written, endless response", faults.endless_body, errors.ResponseTooLargeError),
    # Statuses
    retried("429", responding(429), errors.ThrottledError),
    retried("429, Retry-After: 2", responding(429, "2"), errors.ThrottledError, **long(2)),
    retried("429, Retry-After: a date in 5 s", responding(429, lambda: date_in(5)), errors.ThrottledError, **long(5)),
    retried("429, Retry-After: a date in the past", responding(429, lambda: date_in(-3600)), errors.ThrottledError),
    retried("429, Retry-After: -5 or soon", responding(429, "-5"), errors.ThrottledError),
    final("429, Retry-After: 120", responding(429, "120"), errors.DeadlineError),
    final("429, Retry-After: 99999999999999999999", responding(429, "9" * 20), errors.DeadlineError),
    *(retried(str(status), responding(status), errors.ServerError) for status in (500, 502, 503, 504)),
    retried("503, Retry-After: 1", responding(503, "1"), errors.ServerError, **long(1)),
    retried(
        "409, Retry-After: 1 (the same key is in progress)", responding(409, "1"), errors.InProgressError, **long(1)
    ),
    final("409", responding(409), errors.ConflictError),
    *(final(f"{status} to another host", redirected(status), errors.RedirectError) for status in (301, 302, 307, 308)),
    wrong("400 from the backend", lambda key: order(key, body={"sku": ""}), errors.BadRequestError),
    wrong("404 from the backend", unknown_order, errors.NotFoundError),
    wrong("422 from the backend: key used for another order", reused_key, errors.BadRequestError, prepare=use_key),
    wrong("call with an unknown field", lambda key: order(key, url="/"), errors.InvalidCallError, attempts=0),
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
    harmless(
        "STS unreachable during an early refresh of the session",
        sts_unreachable,
        seconds=STS,
        prepare=open_short_session,
    ),
    no_session("STS unreachable", sts_unreachable, transient=None, seconds=STS),
    no_session("STS does not respond", at_sts(faults.stalled_head), transient=1, seconds=STS),
    *(
        no_session(f"STS {what}", sts_refused(status, code, "down"), transient=1, seconds=STS)
        for what, status, code in (
            ("throttles", 400, "Throttling"),
            ("responds with 500", 500, "InternalFailure"),
            ("responds with 503", 503, "ServiceUnavailable"),
        )
    ),
    *(
        no_session(f"STS: {what}", sts_refused(403, code, "refused"), transient=None)
        for what, code in (
            ("AccessDenied", "AccessDenied"),
            ("the function's own credentials have expired", "ExpiredToken"),
            ("clocks ten minutes apart", "SignatureDoesNotMatch"),
        )
    ),
]
