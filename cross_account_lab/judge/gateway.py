"""API Gateway with IAM authorization: accepts or refuses each request by its signature."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import uuid4

from cross_account_lab.judge.loopback import Response, json_response
from cross_account_lab.judge.sigv4 import Credentials, RefusedError, Request, verify

Integration: TypeAlias = Callable[[Request, str], Response]
"""The backend; it gets the request and the access key that signed it."""


def gateway_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response as API Gateway passes it on, with a request id."""
    return json_response(status, body, {"x-amzn-RequestId": str(uuid4()), **(headers or {})})


def refusal(code: str, message: str) -> Response:
    """Return the 403 of a refused request."""
    return gateway_response(403, {"message": message}, {"x-amzn-ErrorType": code})


def gateway_error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response of API Gateway to a failure behind it."""
    return gateway_response(status, {"message": "Internal server error"}, headers)


class Gateway:
    """Verifies each request and counts.

    Attributes:
        regions: The region of the API behind each value of the Host header.
        keys: The access keys that exist.
        revoked: Access keys whose sessions are revoked by a policy.
        clock: How far the gateway's clock is ahead.
        received: The last requests.
        verdicts: The number of requests by error type, or `accepted`.
        uses: The number of accepted requests by access key.
        days: The number of requests by day of signing, as in `X-Amz-Date`.
        refusals: The last reasons for refusals.
    """

    def __init__(
        self,
        regions: Mapping[str, str] | None = None,
        integration: Integration = lambda *_: gateway_response(200, {}),
        *,
        service: str = "execute-api",
    ) -> None:
        self._service = service
        self.regions = dict(regions or {})
        self._integration = integration
        self._lock = threading.Lock()
        self.keys: dict[str, Credentials] = {}
        self.revoked: set[str] = set()
        self.clock = timedelta()
        self.received: deque[Request] = deque(maxlen=100)
        self.verdicts: Counter[str] = Counter()
        self.uses: Counter[str] = Counter()
        self.days: Counter[str] = Counter()
        self.refusals: deque[str] = deque(maxlen=100)

    def __call__(self, request: Request) -> Response:
        """Respond to a request."""
        now = datetime.now(UTC) + self.clock
        region = self.regions.get(",".join(request.values("host")), "")
        try:
            access_key = verify(request, self.keys, region=region, service=self._service, now=now)
            if access_key in self.revoked:
                raise RefusedError("AccessDeniedException", "not authorized, with an explicit deny")
        except RefusedError as error:
            self._count(request, error.code, reason=str(error))
            return refusal(error.code, str(error))
        self._count(request, "accepted", access_key=access_key)
        return self._integration(request, access_key)

    def _count(self, request: Request, verdict: str, *, access_key: str = "", reason: str = "") -> None:
        with self._lock:
            self.received.append(request)
            self.verdicts[verdict] += 1
            self.uses.update([access_key] * bool(access_key))
            self.days.update(date[:8] for date in request.values("x-amz-date"))
            self.refusals.extend([reason] * bool(reason))
