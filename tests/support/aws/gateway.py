"""API Gateway's front door: who is let in, by the signature alone."""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from datetime import UTC, datetime
from uuid import uuid4

from tests.support.aws.loopback import Reply
from tests.support.aws.sigv4 import Credentials, RefusedError, Request, verify


class Gateway:
    """Judges each request, keeps the last ones, and answers as API Gateway does.

    Args:
        regions: The region of the API behind each value of the Host header.

    Attributes:
        regions: The same.
        keys: The access keys that exist, to be filled by the test.
        received: The last requests.
        verdicts: How many requests were answered with each error type, `accepted` included.
        uses: How many requests were accepted from each access key.
        days: How many requests were signed on each day, as `X-Amz-Date` has it.
        refusals: Why the last refused ones were.
    """

    def __init__(self, regions: dict[str, str]) -> None:
        self.regions = regions
        self._lock = threading.Lock()
        self.keys: dict[str, Credentials] = {}
        self.received: deque[Request] = deque(maxlen=100)
        self.verdicts: Counter[str] = Counter()
        self.uses: Counter[str] = Counter()
        self.days: Counter[str] = Counter()
        self.refusals: deque[str] = deque(maxlen=100)

    def __call__(self, request: Request) -> Reply:
        """Answer a request.

        Args:
            request: The request.

        Returns:
            200, or 403 with the error type.
        """
        headers = {"Content-Type": "application/json", "x-amzn-requestid": str(uuid4())}
        region = self.regions.get(",".join(request.values("host")), "")
        try:
            access_key = verify(request, self.keys, region=region, service="execute-api", now=datetime.now(UTC))
        except RefusedError as error:
            self._note(request, error.code, reason=str(error))
            return 403, headers | {"x-amzn-errortype": error.code}, json.dumps({"message": str(error)}).encode()
        self._note(request, "accepted", access_key=access_key)
        return 200, headers, b"{}"

    def _note(self, request: Request, verdict: str, *, access_key: str = "", reason: str = "") -> None:
        with self._lock:
            self.received.append(request)
            self.verdicts[verdict] += 1
            self.uses.update([access_key] * bool(access_key))
            self.days.update(date[:8] for date in request.values("x-amz-date"))
            self.refusals.extend([reason] * bool(reason))
