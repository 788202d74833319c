"""An API on loopback that checks every signature as AWS does, and says what differs."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cross_account_lab.judge import sts
from cross_account_lab.judge.differences import Api, explain, find_notes
from cross_account_lab.judge.gateway import gateway_response
from cross_account_lab.judge.loopback import Response, Server
from cross_account_lab.judge.sigv4 import Credentials, RefusedError, Request, verify

ROLE_ARN = "arn:aws:iam::111111111111:role/executor"
SESSION_NAME = "222222222222-caller"

Answer: TypeAlias = Callable[[Request], Response]


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


class Judge:
    """Judges requests to one API.

    Attributes:
        api: What requests must be signed for.
        keys: The credentials that exist, by access key.
        answer: What responds to a request that is signed right.
        report: What is told each verdict.
        verdicts: The last verdicts.
        counts: How many requests were `accepted`, and how many refused, by error type.
        clock: How far the judge's clock is ahead.
    """

    def __init__(self, api: Api, keys: Mapping[str, Credentials], answer: Answer | None = None) -> None:
        self.api = api
        self.keys = dict(keys)
        self.answer = answer or self.describe
        self.elsewhere = ""
        self.report: Callable[[Verdict], object] = lambda _: None
        self.verdicts: deque[Verdict] = deque(maxlen=1000)
        self.counts: Counter[str] = Counter()
        self.clock = timedelta()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response:
        """Respond to a request: as `answer` does, or with 403 and the differences."""
        now = datetime.now(UTC) + self.clock
        explanation = explain(request, self.api, self.keys, now)
        try:
            access_key = verify(request, self.keys, region=self.api.region, service=self.api.service, now=now)
            if explanation.differences:  # of host or stage, which no signature tells
                raise RefusedError("ForbiddenException", "Forbidden")
        except RefusedError as error:
            self._note(Verdict(request, differences=explanation.differences), error.code)
            body = {
                "message": " ".join(explanation.differences),
                "differences": explanation.differences,
                "canonical_request": explanation.canonical_request,
                "string_to_sign": explanation.string_to_sign,
            }
            return gateway_response(403, body, {"x-amzn-ErrorType": error.code})
        self._note(Verdict(request, access_key), "accepted")
        return self.answer(request)

    def describe(self, request: Request) -> Response:
        """Say what arrived; `/redirect` leads to another host, and `/expire` ends the session."""
        path, _, query = request.target.partition("?")
        match path.removeprefix(self.api.stage):
            case "/redirect":
                return gateway_response(307, {}, {"Location": f"{self.elsewhere}{self.api.stage}/other"})
            case "/expire":
                key = request.values("authorization")[0].partition("=")[2].partition("/")[0]
                self.keys[key] = replace(self.keys[key], expires=datetime.min.replace(tzinfo=UTC))
        body = {"method": request.method, "path": path, "query": query, "body": request.body.decode("latin-1")}
        return gateway_response(200, {"accepted": True, "notes": find_notes(request), **body})

    def _note(self, verdict: Verdict, outcome: str) -> None:
        with self._lock:
            self.verdicts.append(verdict)
            self.counts[outcome] += 1
            self.report(verdict)


@dataclass(frozen=True)
class SignedApi:
    """A judge that listens on loopback, and the STS that gives sessions for it.

    Attributes:
        url: The API's URL with its stage.
        environment: What a caller's environment needs: credentials, region, STS.
    """

    url: str
    judge: Judge
    environment: Mapping[str, str]

    @property
    def accepted(self) -> list[Request]:
        """The requests that were signed right."""
        return [verdict.request for verdict in self.judge.verdicts if verdict.access_key]

    @property
    def refused(self) -> list[Verdict]:
        """The verdicts on all others."""
        return [verdict for verdict in self.judge.verdicts if not verdict.access_key]


@contextmanager
def serve(
    *, port: int = 0, region: str = sts.REGION, service: str = "execute-api", stage: str = "/v1"
) -> Iterator[SignedApi]:
    """Serve an API, an STS that knows `sts.EXTERNAL_ID`, and a host that no session token may reach."""
    judge = Judge(Api("", region, service, stage), sts.CALLER)
    issuer = sts.Sts(judge.keys)
    with Server(judge, port=port) as server, Server(issuer) as sts_server, Server(_elsewhere) as elsewhere:
        judge.api = replace(judge.api, host=f"127.0.0.1:{server.port}")
        judge.elsewhere = elsewhere.url
        url = f"{server.url}{stage}"
        environment = {
            **sts.CALLER_ENVIRONMENT,
            "API_URL": url,
            "API_REGION": region,
            "EXECUTOR_ROLE_ARN": ROLE_ARN,
            "EXTERNAL_ID": sts.EXTERNAL_ID,
            "SESSION_NAME": SESSION_NAME,
            "AWS_ENDPOINT_URL_STS": sts_server.url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        yield SignedApi(url, judge, environment)


def _elsewhere(request: Request) -> Response:
    """Respond as the host to which `/redirect` leads."""
    if not request.values("x-amz-security-token"):
        return gateway_response(200, {"accepted": True})
    text = "A redirect was followed with the session token, which the other host can use now: follow none."
    return gateway_response(403, {"message": text, "differences": [text]})


def show(verdict: Verdict) -> str:
    """Return a verdict as a line for people."""
    outcome = "accepted" if verdict.access_key else "refused "
    return "\n    ".join([f"{outcome}  {verdict.request.method} {verdict.request.target}", *verdict.differences])
