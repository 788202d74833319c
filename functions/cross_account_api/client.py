"""The client: signs requests and retries what may pass."""

import logging
import os
import random
import time
from collections.abc import Callable
from typing import Any, Self, TypedDict, TypeVar, Unpack

from botocore.credentials import ReadOnlyCredentials

from cross_account_api import endpoint, errors
from cross_account_api.auth import Auth, freeze, make_signer
from cross_account_api.call import PRINTABLE, Call, type_name
from cross_account_api.credentials import (
    AssumedRoleCredentials,
    Credentials,
    ProfileCredentials,
    SessionCache,
)
from cross_account_api.response import Response, StreamedResponse, open_response, read_response
from cross_account_api.timing import Clock, Timing
from cross_account_api.transport import Connections, Request, Timeout, Transport
from cross_account_api.version import __version__

MAX_CONCURRENCY = 32
"""How many connections a client keeps open."""

logger = logging.getLogger("cross_account_api")
"""Attempts at DEBUG; pauses and replaced sessions at INFO. No query, header or body."""

_T = TypeVar("_T")
_MAX_ATTEMPTS = 6
_TIMEOUT = 90.0
"""Seconds for all attempts together."""
_TRANSIENT = (
    errors.ConnectionFailedError,
    errors.InvalidResponseError,
    errors.ThrottledError,
    errors.InProgressError,
    errors.ServerError,
)
_POSSIBLY_REVOKED = ("AccessDeniedException", "InvalidSignatureException")
_REFUSED_BY_API_GATEWAY = ("TooManyRequestsException", "LimitExceededException")


class CallOptions(TypedDict, total=False):
    """The parts of a call besides its method and path; see `Call.parse`.

    Attributes:
        query: Query parameters; a list repeats its name.
        headers: Further headers.
        body: Anything that JSON can hold; text if a `Content-Type` other than JSON is given; bytes as they are.
        idempotency_key: What makes a repeated POST or PATCH harmless.
    """

    query: dict[str, Any] | None
    headers: dict[str, str] | None
    body: Any
    idempotency_key: str | None


class RequestOptions(CallOptions, total=False):
    """The same with the limits of `Client.request`."""

    timeout: float
    raw: bool


class Client:
    """Calls one API. Threads may share a client, and processes that are forked.

        client = Client("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1",
                        role_arn="arn:aws:iam::111111111111:role/orders-api-ExecutorRole-…", external_id="…")
        order = client.post("/orders", body={"sku": "tea"}, idempotency_key="order-7").body

    Args:
        api_url: The API's URL with its stage.
        role_arn: The role to assume in the API's account; None signs as the caller itself.
        external_id: The external id in that role's trust policy.
        session_name: Name of the role session; by default `<account id>-<name>` of the caller.
        region: The region to sign for; by default the one in `api_url`, else the caller's own.
        service: The service to sign for: `execute-api` (API Gateway), `lambda` (function URLs), `appsync`,
            `bedrock-agentcore` or `vpc-lattice-svcs`.
        profile: The AWS profile to start from; by default the default chain, such as the role of an ECS task.
        api_key: What an API that meters its consumers wants besides the signature; it is sent as `X-Api-Key`.
        api_ignores_idempotency_keys: Set for an API that does not implement `Idempotency-Key`. POST and PATCH then need
            no key and are repeated only when the API cannot have received them.
        credentials: Credentials to sign with, instead of `role_arn` and what follows it.
        transport: What sends requests, instead of connections of the client's own.
        timing: Limits of attempts and pauses.
        clock: The `time` module, or a substitute.

    Attributes:
        auth: Signs requests of one's own to this API, `session.get(url, auth=client.auth)`: see `Auth`.

    Raises:
        SettingsError: An argument is malformed.
        AssumeRoleError: The profile does not exist or gives no credentials.
    """

    def __init__(
        self,
        api_url: str,
        *,
        role_arn: str | None = None,
        external_id: str | None = None,
        session_name: str | None = None,
        region: str | None = None,
        service: str = "execute-api",
        profile: str | None = None,
        api_key: str | None = None,
        api_ignores_idempotency_keys: bool = False,
        credentials: Credentials | None = None,
        transport: Transport | None = None,
        timing: Timing | None = None,
        clock: Clock = time,
    ) -> None:
        self._api_url = endpoint.parse_api_url(api_url)
        self._service = endpoint.require_service(service, self._api_url)
        self._timing = timing or Timing()
        self._clock = clock
        self._keys_ignored = api_ignores_idempotency_keys
        if api_key is not None:
            endpoint.require_match(api_key, endpoint.API_KEY, "api_key", endpoint.API_KEY_FORM, secret=True)
        self._api_key = api_key or ""
        own_region, ca_bundle = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", ""), ""
        if credentials is None and role_arn is not None:
            endpoint.check_role(role_arn, external_id, session_name)
            credentials = role = AssumedRoleCredentials(
                role_arn,
                external_id=external_id,
                session_name=session_name,
                profile=profile,
                timing=self._timing,
                clock=clock,
            )
            ca_bundle = role.ca_bundle
        elif credentials is None:
            credentials = own = ProfileCredentials(profile, timing=self._timing, cache=SessionCache(clock))
            own_region, ca_bundle = own.region or own_region, own.ca_bundle
        self._credentials = credentials
        self._region = endpoint.find_api_region(self._api_url, region or "", own_region, service=service)
        self.auth = Auth(self._api_url, self._region, service, credentials, self._api_key)
        self._transport = transport or Connections(
            self._api_url, MAX_CONCURRENCY, ca_bundle, timing=self._timing, clock=clock
        )

    def request(
        self,
        method: str,
        path: str | list[str],
        *,
        timeout: float = _TIMEOUT,
        raw: bool = False,
        **options: Unpack[CallOptions],
    ) -> Response:
        """Make a call; see `send` for its errors.

        Args:
            method: HTTP method.
            path: Path below the API's URL in plain text, or a list of segments.
            timeout: Seconds for all attempts together.
            raw: Only the response's bytes are wanted, its `content`: do not parse them into `body`.
            options: The other parts of the call.
        """
        call = Call.parse({"method": method, "path": path, **options})
        return self.send(call, deadline=self._clock.monotonic() + timeout, raw=raw)

    def get(self, path: str | list[str], **options: Unpack[RequestOptions]) -> Response:
        """Make a GET; options as in `request`."""
        return self.request("GET", path, **options)

    def head(self, path: str | list[str], **options: Unpack[RequestOptions]) -> Response:
        """Make a HEAD; options as in `request`."""
        return self.request("HEAD", path, **options)

    def post(self, path: str | list[str], **options: Unpack[RequestOptions]) -> Response:
        """Make a POST; options as in `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str | list[str], **options: Unpack[RequestOptions]) -> Response:
        """Make a PUT; options as in `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str | list[str], **options: Unpack[RequestOptions]) -> Response:
        """Make a PATCH; options as in `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str | list[str], **options: Unpack[RequestOptions]) -> Response:
        """Make a DELETE; options as in `request`."""
        return self.request("DELETE", path, **options)

    def stream(
        self,
        method: str,
        path: str | list[str],
        *,
        timeout: float = _TIMEOUT,
        idle_timeout: float = 30.0,
        **options: Unpack[CallOptions],
    ) -> StreamedResponse:
        """Make a call as `request` does, and read its response while it comes: of any size, for any time.

            with client.stream("GET", "/export") as response, open("export.csv", "wb") as file:
                file.writelines(response)

        Args:
            method: HTTP method.
            path: As in `request`.
            timeout: Seconds for all attempts together, up to the response's headers; nothing is repeated after those.
            idle_timeout: Seconds without a byte after which the response counts as cut off.
            options: The other parts of the call.
        """
        call = Call.parse({"method": method, "path": path, **options})
        return self.open(call, deadline=self._clock.monotonic() + timeout, idle_timeout=idle_timeout)

    def open(
        self, call: Call, *, deadline: float | None = None, correlation_id: str = "", idle_timeout: float = 30.0
    ) -> StreamedResponse:
        """Make a call as `send` does, and read its response while it comes, as by `stream`."""
        if not 0 < idle_timeout <= 86400:
            raise errors.InvalidCallError("idle_timeout", repr(idle_timeout), "seconds: more than 0, a day at most")
        transport = self._transport
        if not hasattr(transport, "open"):
            raise errors.SettingsError("transport", type_name(transport), "one that has open(), to stream")

        def attempt(request: Request, timeout: Timeout, attempts: int, throttled: int) -> StreamedResponse:
            stream = transport.open(request, timeout, idle_timeout)
            _log_attempt(call, attempts, stream.status)
            return open_response(stream, attempts=attempts, throttled=throttled)

        return self._repeat(call, attempt, deadline, correlation_id)

    def send(
        self, call: Call, *, deadline: float | None = None, correlation_id: str = "", raw: bool = False
    ) -> Response:
        """Make a call, retry it while that makes sense, and return the response, which is always 2xx.

        Retried, after the pause that `Retry-After` asks for plus a random one: failed connections, invalid responses,
        429, 5xx, and 409 with `Retry-After`, by which a backend says that it still works on the same key. A rejected
        session is replaced once. Nothing else is retried, and nothing that could do unkeyed work twice.

        Args:
            call: The call.
            deadline: When to have finished, by `time.monotonic`; 90 s from now unless given.
            raw: Leave the response's `body` None: only its `content` is wanted.
            correlation_id: Sent as `X-Correlation-Id`, if it is printable ASCII, to find the call in the API's logs.

        Raises:
            InvalidCallError: A POST or PATCH has no idempotency key.
            ApiError: The API answered something else; the type says what.
            ConnectionFailedError: There was no complete response.
            ResponseError: The response cannot be used.
            DeadlineError: There was no time for another attempt.
            AssumeRoleError: There are no credentials.

        See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """

        def attempt(request: Request, timeout: Timeout, attempts: int, throttled: int) -> Response:
            http = self._transport.send(request, timeout)
            _log_attempt(call, attempts, http.status)
            return read_response(http, attempts=attempts, throttled=throttled, raw=raw)

        return self._repeat(call, attempt, deadline, correlation_id)

    def _repeat(
        self,
        call: Call,
        attempt: Callable[[Request, Timeout, int, int], _T],
        deadline: float | None,
        correlation_id: str,
    ) -> _T:
        if deadline is None:
            deadline = self._clock.monotonic() + _TIMEOUT
        attempts = throttled = 0
        session_replaced = False
        failure: errors.CallError | None = None
        pause = 0.0
        try:
            if not (call.is_idempotent or call.idempotency_key or self._keys_ignored):
                raise errors.InvalidCallError("idempotency_key", "missing", f"always given with {call.method}")
            while True:
                self._require_time(deadline, pause, attempts, failure)
                if failure:
                    logger.info(
                        "%s %s: %s; attempt %d in %.1f s", call.method, call.path, failure.problem, attempts + 1, pause
                    )
                if pause:
                    self._clock.sleep(pause)
                credentials = freeze(self._credentials)
                self._require_time(deadline, 0.0, attempts, failure)
                is_repeatable = call.is_idempotent or not self._keys_ignored
                request = Request(call.method, self._api_url + call.target, call.body, is_repeatable=is_repeatable)
                make_signer(credentials, self._region, self._service)(request)
                # Not signed, so that no odd value can break the signature; TLS protects them.
                request.headers.update(request_headers(call, correlation_id, self._api_key))
                timeout = Timeout(self._timing.connect, self._timing.read, deadline - self._clock.monotonic())
                attempts += 1
                try:
                    return attempt(request, timeout, attempts, throttled)
                except errors.ForbiddenError as error:
                    if session_replaced or not self._replace_session(credentials, error):
                        raise
                    session_replaced = True
                    logger.info("the session was refused (%s) and is replaced", error.code)
                    failure, pause = error, 0.0
                except _TRANSIENT as error:
                    throttled += isinstance(error, errors.ThrottledError)
                    if attempts >= _MAX_ATTEMPTS or not self._may_repeat(call, error):
                        raise
                    failure, pause = error, self._pause(attempts, error)
        except errors.CallError as error:
            error.attempts, error.throttled = attempts, throttled
            raise

    def close(self) -> None:
        """Close the connections that are kept open."""
        if isinstance(self._transport, Connections):
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_time(self, deadline: float, pause: float, attempts: int, failure: errors.CallError | None) -> None:
        left = deadline - self._clock.monotonic()
        if left < pause + self._timing.min_attempt:
            raise errors.DeadlineError(left, pause, attempts, failure) from failure

    def _replace_session(self, credentials: ReadOnlyCredentials, error: errors.ForbiddenError) -> bool:
        expired = isinstance(error, errors.ExpiredSessionError)
        return (expired or error.code in _POSSIBLY_REVOKED) and self._credentials.refresh(credentials, expired=expired)

    def _may_repeat(self, call: Call, error: errors.CallError) -> bool:
        if isinstance(error, errors.CertificateError):
            return False
        if isinstance(error, errors.ThrottledError) and error.is_quota:
            return False  # it does not pass within a deadline
        if call.is_idempotent or not self._keys_ignored:
            return True
        if isinstance(error, errors.ApiError):
            return error.code in _REFUSED_BY_API_GATEWAY
        return not error.may_have_arrived

    def _pause(self, attempts: int, error: errors.CallError) -> float:
        asked = error.retry_after if isinstance(error, errors.ApiError) else None
        upper = min(self._timing.backoff_max, self._timing.backoff_base * 2 ** (attempts - 1))
        return (asked or 0.0) + random.uniform(0, upper)  # noqa: S311 - jitter, not a secret


def _log_attempt(call: Call, attempt: int, status: int) -> None:
    logger.debug("%s %s: attempt %d: %d", call.method, call.path, attempt, status)


def request_headers(call: Call, correlation_id: str, api_key: str = "") -> dict[str, str]:
    """Return the headers that are added to a signed request; those of the call replace `Accept` and `Content-Type`."""
    headers = {
        "Accept": "application/json",
        "Content-Type": call.content_type,
        "Idempotency-Key": call.idempotency_key,
        "User-Agent": f"cross-account-api/{__version__}",
        "X-Api-Key": api_key,
    }
    tracing = {"X-Amzn-Trace-Id": os.environ.get("_X_AMZN_TRACE_ID", ""), "X-Correlation-Id": correlation_id}
    headers |= {name: value for name, value in tracing.items() if PRINTABLE.fullmatch(value)}
    own = {name.lower() for name, _ in call.headers}
    return {name: value for name, value in headers.items() if value and name.lower() not in own} | dict(call.headers)
