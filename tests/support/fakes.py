"""An API, an STS and a clock in memory, each with the behaviour that the client depends on."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ConnectTimeoutError

from cross_account_api.errors import ConnectionFailedError
from cross_account_api.transport import HttpResponse, HttpStream, Request, Timeout
from cross_account_lab.judge import sigv4
from cross_account_lab.judge.loopback import Response, json_response
from cross_account_lab.judge.sts import assume_role_response, caller_identity_response, sts_error

API_URL = "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1"
EXECUTOR_ROLE_ARN = "arn:aws:iam::111111111111:role/orders-api-ExecutorRole-1A2B3C4D5E6F"
EXTERNAL_ID = "external-id-of-a-test"
FAILED_CALL_QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/222222222222/FailedCallQueue"
STS_URL = "https://sts.eu-west-1.amazonaws.com/"
REQUEST_ID = "6f2b8f0e-3f0c-4a58-bd3c-3a0f4d6a7c21"


@dataclass(frozen=True)
class Reply:
    """A response of the API."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, body: object, **headers: str) -> Reply:
    """Return a response in JSON; underscores in header names become dashes."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **names})


def refusal(code: str, message: str = "no") -> Reply:
    """Return a 403 as API Gateway gives it."""
    return json_reply(403, {"message": message}, x_amzn_errortype=code)


def is_signed(request: Request, credentials: ReadOnlyCredentials, region: str = "eu-west-1") -> bool:
    """Return whether a request carries the signature of these credentials for the API."""
    url = urlsplit(request.url)
    headers = (("host", url.netloc), *((name.lower(), value) for name, value in request.headers.items()))
    target = request.url.removeprefix(f"{url.scheme}://{url.netloc}")
    keys = {str(credentials.access_key): sigv4.Credentials(str(credentials.secret_key), credentials.token)}
    received = sigv4.Request(request.method, target, headers, request.body or b"")
    try:
        date = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        sigv4.verify(received, keys, region=region, service="execute-api", now=date)
    except sigv4.RefusedError:
        return False
    return True


class FakeApi:
    """The API: checks each signature, then returns the responses in `script`, and after those always `rest`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.timeouts: list[Timeout] = []
        self.script: list[Reply | Exception] = []
        self.rest: Reply | Exception = json_reply(200, {"ok": True})
        self.answer: Callable[[Request], Reply | Exception] | None = None
        self.sessions: dict[str | None, ReadOnlyCredentials] = {}
        self.cut: Exception | None = None
        self.closed = threading.Event()
        self._lock = threading.Lock()

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        with self._lock:
            self.requests.append(request)
            self.timeouts.append(timeout)
            session = self.sessions.get(request.headers.get("x-amz-security-token"))
            if session is None:
                reply: Reply | Exception = refusal("UnrecognizedClientException")
            elif not is_signed(request, session):
                reply = refusal("InvalidSignatureException")
            elif self.answer:
                reply = self.answer(request)
            else:
                reply = self.script.pop(0) if self.script else self.rest
        if isinstance(reply, Exception):
            raise reply
        headers = {name.lower(): value for name, value in {"x-amzn-RequestId": REQUEST_ID, **reply.headers}.items()}
        return HttpResponse(reply.status, headers, b"" if request.method == "HEAD" else reply.body)

    def open(self, request: Request, timeout: Timeout, idle_timeout: float) -> HttpStream:
        response = self.send(request, timeout)
        half = (len(response.body) + 1) // 2
        pieces = filter(None, (response.body[:half], response.body[half:]))
        return HttpStream(response.status, response.headers, self._cut(pieces), self.closed.set)

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        yield from pieces
        if self.cut:
            raise self.cut

    def secrets(self) -> list[str]:
        """Return the secrets that must not be written anywhere."""
        return [str(part) for session in self.sessions.values() for part in session[:3]]


@dataclass
class FakeSqs:
    """SQS: takes messages, unless it is down."""

    is_down: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)

    def send(self, request: Any) -> AWSResponse:
        message = json.loads(request.body)
        if self.is_down:
            raise ConnectTimeoutError(endpoint_url=message["QueueUrl"])
        self.messages.append(message)
        return aws_response(message["QueueUrl"], json_response(200, {"MessageId": "1"}))

    def parked(self) -> list[tuple[str, str, str]]:
        """Return body, error code and uncertainty of each message."""
        found = []
        for message in self.messages:
            assert message["QueueUrl"] == FAILED_CALL_QUEUE_URL
            values = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
            assert values.keys() == {"ErrorCode", "ErrorMessage", "Uncertain"}
            found.append((message["MessageBody"], values["ErrorCode"], values["Uncertain"]))
        return found


@dataclass
class FakeSts:
    """STS: issues sessions that the API then accepts, and records requests."""

    api: FakeApi
    seconds: float = 3600
    failure: tuple[int, str, str] | Exception | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    delay: float = 0
    sqs: FakeSqs = field(default_factory=FakeSqs)  # at the same connection of botocore's

    def send(self, request: Any) -> AWSResponse:
        if "sqs." in request.url:
            return self.sqs.send(request)
        time.sleep(self.delay)
        form = {name: values[0] for name, values in parse_qs(request.body).items()}
        assert request.url == STS_URL
        self.requests.append({str(name): str(value) for name, value in form.items()})
        if isinstance(self.failure, Exception):
            raise self.failure
        if self.failure:
            status, code, message = self.failure
            return aws_response(STS_URL, sts_error(status, code, message))
        if form["Action"] == "GetCallerIdentity":
            return aws_response(STS_URL, caller_identity_response("222222222222", "user/my-user"))
        number = len(self.requests)
        key, issued = f"ASIAEXAMPLE{number}", sigv4.Credentials(f"secret-key-{number}", f"session-token/{number}+==")
        self.api.sessions[issued.token] = ReadOnlyCredentials(key, issued.secret_key, issued.token)
        expires = datetime.now(UTC) + timedelta(seconds=self.seconds)
        return aws_response(STS_URL, assume_role_response(key, issued, form.get("RoleSessionName", ""), expires))

    def down(self) -> None:
        self.failure = ConnectTimeoutError(endpoint_url=STS_URL)


class _Raw(io.BytesIO):
    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


def aws_response(url: str, response: Response) -> AWSResponse:
    """Return a response of AWS as botocore gets it from its connection."""
    return AWSResponse(url, response.status, HTTPHeaders.from_pairs(response.headers.items()), _Raw(response.body))


@dataclass
class FakeTime:
    """A clock that advances only by sleeping, or by adding to `now`."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@dataclass
class FakeCredentials:
    """Sessions without STS; `renewable` says whether there is another one."""

    api: FakeApi
    renewable: bool = True
    issued: int = 0
    refused: list[tuple[ReadOnlyCredentials, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._issue()

    def _issue(self) -> None:
        self.issued += 1
        session = ReadOnlyCredentials(f"ASIAEXAMPLE{self.issued}", f"secret-{self.issued}", f"token-{self.issued}")
        self.session = self.api.sessions[session.token] = session

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.session

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        self.refused.append((refused, expired))
        if self.renewable:
            self._issue()
        return self.renewable


def unreachable(reason: str = "ConnectTimeoutError", *, may_have_arrived: bool = True) -> ConnectionFailedError:
    """Return a failed connection."""
    return ConnectionFailedError(reason, may_have_arrived=may_have_arrived)
