"""Signed requests to the API: one attempt, and as many more as make sense."""

import functools
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

import urllib3
from botocore.credentials import ReadOnlyCredentials
from requests_aws4auth import AWS4Auth
from requests_aws4auth.aws4signingkey import AWS4SigningKey
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from cross_account_api.call import Call
from cross_account_api.errors import (
    ApiError,
    CallerError,
    DeadlineError,
    ExpiredSessionError,
    GarbledAnswerError,
    InProgressError,
    RefusedError,
    ServerError,
    ThrottledError,
    UnreachableError,
)
from cross_account_api.response import Answer, read_answer
from cross_account_api.transport import Connections, Request, Transport

WORKERS = 32
"""How many calls are made at the same time at most, each with a connection of its own."""

_ATTEMPTS = 6
_BACKOFF = wait_random_exponential(multiplier=0.5, max=10)
_CONNECT_SECONDS = 3.0
_ADDRESSES = 8
"""The most that DNS gives for one host name; the time to connect is spent on each of them in turn."""
_READ_SECONDS = 30.0
"""More than the 29 seconds after which API Gateway answers for a backend that does not."""
_SHORTEST_ATTEMPT = 2.0
"""Seconds: with less than this left, a cold backend could do the work and nobody would hear of it."""

_TRANSIENT = (UnreachableError, GarbledAnswerError, ThrottledError, InProgressError, ServerError)
_MAYBE_REVOKED = ("AccessDeniedException", "InvalidSignatureException")


class Credentials(Protocol):
    """Where the credentials for signing come from."""

    def frozen(self) -> ReadOnlyCredentials:
        """Return credentials that no renewal changes while a request is signed with them."""

    def renew(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Leave a session that the API refused, and tell whether there is now another one to try."""


@dataclass
class Tally:
    """What one call took, however it ended.

    Attributes:
        attempts: How many requests were sent.
        throttled: How many of them were answered with 429.
        renewed: Whether the session was refused and replaced.
        failure: What went wrong last.
    """

    attempts: int = 0
    throttled: int = 0
    renewed: bool = False
    failure: CallerError | None = None


class ApiClient:
    """Makes calls to one API. Safe to use by several threads.

    Args:
        api_url: The API's address, as `settings.parse_api_url` returns it.
        api_region: The region to sign for.
        credentials: Where the credentials come from.
        transport: What sends the requests; unless given, as many connections as there are workers.
    """

    def __init__(
        self, api_url: str, api_region: str, credentials: Credentials, transport: Transport | None = None
    ) -> None:
        self._api_url = api_url
        self._api_region = api_region
        self._credentials = credentials
        self._transport = transport or Connections(api_url, WORKERS)

    def send(self, call: Call, deadline: float, *, correlation_id: str = "", tally: Tally | None = None) -> Answer:
        """Make a call, again if need be, until it is answered or there is no sense in going on.

        Connection failures, incomplete answers, 429 and 5xx are tried again, after what `Retry-After` asks for and a
        pause with full jitter. So is 409 with `Retry-After`, by which the backend says that it is still at work on the
        same idempotency key. A refused session is replaced once. Nothing else is tried again.

        Args:
            call: The call. It survives repetition: POST and PATCH carry an idempotency key.
            deadline: When to have finished, in seconds of `time.monotonic`.
            correlation_id: What ties the API's logs to the origin of this call.
            tally: Filled while the call is made, for those who want to know even if it fails.

        Returns:
            The answer, always 2xx.

        Raises:
            ApiError: The API answered something else; the type says what.
            UnreachableError: There was no complete answer.
            AnswerError: There was one that cannot be used.
            DeadlineError: There was no time for another attempt.
            AssumeRoleError: There are no credentials.

        See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        tally = tally or Tally()
        attempt = functools.partial(self._attempt, call, deadline, correlation_id, tally)
        try:
            return attempt()
        except _TRANSIENT as error:
            failures = [error]

        def attempt_again(*_: object) -> Answer:
            # Given the first failure, tenacity goes on from there; a call that does not fail does not pay for it.
            if failures:
                raise failures.pop()
            return attempt()

        return RETRYING(attempt_again, deadline, tally)

    def _attempt(self, call: Call, deadline: float, correlation_id: str, tally: Tally) -> Answer:
        _require_time(deadline, tally)
        credentials = self._credentials.frozen()
        _require_time(deadline, tally)
        request = self._signed(call, credentials)
        request.headers.update(unsigned_headers(call, correlation_id))
        tally.attempts += 1
        try:
            return self._exchange(request, deadline - monotonic(), tally.attempts)
        except RefusedError as error:
            if tally.renewed or not self._renew(credentials, error):
                raise
            tally.failure = error
        except CallerError as error:
            tally.throttled += isinstance(error, ThrottledError)
            tally.failure = error
            raise
        tally.renewed = True
        return self._attempt(call, deadline, correlation_id, tally)

    def _exchange(self, request: Request, seconds: float, attempts: int) -> Answer:
        connect = min(_CONNECT_SECONDS, seconds / _ADDRESSES)
        timeout = urllib3.Timeout(connect=connect, read=_READ_SECONDS, total=seconds)
        try:
            with self._transport.send(request, timeout) as response:
                return read_answer(response, attempts)
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(_reason(error)) from error

    def _signed(self, call: Call, credentials: ReadOnlyCredentials) -> Request:
        """Return a new request, signed over method, URL, body, host, date and session token.

        Any other header is added afterwards: TLS protects it, and nothing odd in it can break the signature.
        Each request has an AWS4Auth of its own, since a shared one changes when the day does.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
        """
        request = Request(call.method, self._api_url + call.target, call.body)
        key = _signing_key(credentials.secret_key, self._api_region, datetime.now(UTC).strftime("%Y%m%d"))
        AWS4Auth(credentials.access_key, key, session_token=credentials.token, include_hdrs=("host", "x-amz-*"))(
            request
        )
        return request

    def _renew(self, credentials: ReadOnlyCredentials, refusal: RefusedError) -> bool:
        expired = isinstance(refusal, ExpiredSessionError)
        return (expired or refusal.code in _MAYBE_REVOKED) and self._credentials.renew(credentials, expired=expired)


def unsigned_headers(call: Call, correlation_id: str) -> dict[str, str]:
    """Return the headers that are added to a signed request.

    Args:
        call: The call; its headers replace `Accept` and `Content-Type`.
        correlation_id: What ties the API's logs to the origin of this call; may be empty.
    """
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json" if call.body is not None else None,
        "Idempotency-Key": call.idempotency_key,
        "User-Agent": "cross-account-api",
        "X-Amzn-Trace-Id": os.environ.get("_X_AMZN_TRACE_ID"),
        "X-Correlation-Id": correlation_id,
    }
    own = {name.lower() for name, _ in call.headers}
    return {name: value for name, value in headers.items() if value and name.lower() not in own} | dict(call.headers)


@functools.lru_cache(maxsize=8)
def _signing_key(secret_key: str, region: str, date: str) -> AWS4SigningKey:
    """Return the key that signs for a day. AWS4Auth makes another one if the day ends before it signs."""
    return AWS4SigningKey(secret_key, region, "execute-api", date)


def _require_time(deadline: float, tally: Tally, *, pause: float = 0.0) -> None:
    left = deadline - monotonic()
    if left < pause + _SHORTEST_ATTEMPT:
        raise DeadlineError(left, pause, tally.attempts, tally.failure) from tally.failure


def _pause(state: RetryCallState) -> float:
    """Return the seconds to wait for the next attempt: what the API asks for, and a part of our own."""
    _, tally = state.args
    asked = tally.failure.retry_after if isinstance(tally.failure, ApiError) else None
    return (asked or 0.0) + _BACKOFF(state)


def _require_time_after_pause(state: RetryCallState) -> None:
    deadline, tally = state.args
    _require_time(deadline, tally, pause=state.upcoming_sleep)


RETRYING = Retrying(
    retry=retry_if_exception_type(_TRANSIENT),
    wait=_pause,
    before_sleep=_require_time_after_pause,
    stop=stop_after_attempt(_ATTEMPTS),
    reraise=True,
)
"""What tries again; a test gives it another `sleep`."""


def _reason(error: BaseException) -> str:
    """Return what failed and what the system said first; what was made of that later names the URL with its query."""
    first = error
    while first.__context__:
        first = first.__context__
    name = type(error).__name__
    return name if isinstance(first, urllib3.exceptions.HTTPError) else f"{name}: {first}"
