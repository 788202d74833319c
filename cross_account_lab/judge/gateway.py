"""API Gateway with IAM authorization: accepts or refuses each request by its signature, and says what differs."""

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import uuid4

from cross_account_lab.judge.differences import Api, explain
from cross_account_lab.judge.loopback import Response, json_response
from cross_account_lab.judge.sigv4 import Credentials, Request

Answer: TypeAlias = Callable[[Request], Response]
"""What is behind the API: it responds to requests that are signed right."""


def gateway_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response as API Gateway passes it on, with a request id."""
    return json_response(status, body, {"x-amzn-RequestId": str(uuid4()), **(headers or {})})


def refusal(code: str, message: str, **details: object) -> Response:
    """Return the 403 of a refused request."""
    return gateway_response(403, {"message": message, **details}, {"x-amzn-ErrorType": code})


def gateway_error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response of API Gateway to a failure behind it."""
    return gateway_response(status, {"message": "Internal server error"}, headers)


@dataclass(frozen=True)
class Verdict:
    """What became of a request.

    Attributes:
        access_key: The key that signed it; empty if it was refused.
        differences: Why it was refused.
    """

    request: Request
    access_key: str = ""
    differences: tuple[str, ...] = ()


class Gateway:
    """Judges requests to APIs, which it tells apart by their host.

    Attributes:
        keys: The credentials that exist, by access key.
        answer: What responds to a request that is signed right.
        report: What is told each verdict.
        verdicts: The last verdicts.
        counts: How many requests were `accepted`, and how many refused, by error type.
        clock: How far the gateway's clock is ahead.
    """

    def __init__(self, *apis: Api, answer: Answer = lambda _: gateway_response(200, {})) -> None:
        self._apis: dict[str, Api] = {}
        self.keys: dict[str, Credentials] = {}
        self.answer = answer
        self.report: Callable[[Verdict], object] = lambda _: None
        self.verdicts: deque[Verdict] = deque(maxlen=10_000)
        self.counts: Counter[str] = Counter()
        self.clock = timedelta()
        self._lock = threading.Lock()
        for api in apis:
            self.add(api)

    def add(self, api: Api) -> None:
        """Accept requests to an API."""
        self._apis[api.host] = api

    @property
    def accepted(self) -> list[Request]:
        """The requests that were signed right."""
        return [verdict.request for verdict in self.verdicts if verdict.access_key]

    @property
    def refused(self) -> list[Verdict]:
        """The verdicts on all others."""
        return [verdict for verdict in self.verdicts if not verdict.access_key]

    def __call__(self, request: Request) -> Response:
        """Respond to a request: as `answer` does, or with 403 and the differences."""
        api = self._apis.get(",".join(request.values("host"))) or next(iter(self._apis.values()))
        wrong = explain(request, api, self.keys, datetime.now(UTC) + self.clock)
        with self._lock:
            verdict = Verdict(request, "" if wrong.code else request.access_key, wrong.differences)
            self.verdicts.append(verdict)
            self.counts[wrong.code or "accepted"] += 1
            self.report(verdict)
        if not wrong.code:
            return self.answer(request)
        return refusal(
            wrong.code,
            " ".join(wrong.differences),
            differences=wrong.differences,
            canonical_request=wrong.canonical_request,
            string_to_sign=wrong.string_to_sign,
        )
