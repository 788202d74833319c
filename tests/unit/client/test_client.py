"""Which failures are retried, when, and which are not."""

import logging
import random
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import requests

from cross_account_api import __version__
from cross_account_api.call import Call
from cross_account_api.client import Client
from cross_account_api.errors import (
    ApiError,
    BadRequestError,
    CallError,
    CertificateError,
    ConflictError,
    ConnectionFailedError,
    DeadlineError,
    ExpiredSessionError,
    ForbiddenError,
    InProgressError,
    InvalidCallError,
    InvalidResponseError,
    NotFoundError,
    RedirectError,
    ServerError,
    SettingsError,
    ThrottledError,
)
from cross_account_api.transport import parse_retry_after
from tests.support.fakes import (
    API_URL,
    EXECUTOR_ROLE_ARN,
    REQUEST_ID,
    FakeApi,
    FakeCredentials,
    FakeTime,
    Reply,
    json_reply,
    refusal,
    unreachable,
)

API_KEY = "a1b2c3d4e5f6g7h8i9j0"
NINES = b"9" * 5000
ORDER = Call.parse({"method": "POST", "path": "/orders", "body": {"sku": "tea"}, "idempotency_key": "key-1"})


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every pause be as long as its jitter, which begins at no pause at all, allows."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high if low == 0 else None)


def typed(body: bytes, content_type: str = "application/json", **headers: str) -> Reply:
    return Reply(200, body, {"Content-Type": content_type, **headers})


@dataclass
class World:
    """A client, and what it is connected to."""

    client: Client
    api: FakeApi
    credentials: FakeCredentials
    clock: FakeTime

    def failure(self, seconds: float = 100) -> CallError:
        with pytest.raises(CallError) as caught:
            self.client.send(ORDER, deadline=self.clock.now + seconds)
        return caught.value

    def another(self, **options: Any) -> Client:
        return Client(
            API_URL, **{"credentials": self.credentials, "transport": self.api, "clock": self.clock, **options}
        )


@pytest.fixture
def world(client: Client, fake_api: FakeApi, credentials: FakeCredentials, clock: FakeTime) -> World:
    return World(client, fake_api, credentials, clock)


def test_a_response(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-69689f80-0f1e2d3c4b5a69788796a5b4;Sampled=1")
    world.api.script = [json_reply(201, {"id": 1}, ETag='"1"')]

    answer = world.client.send(ORDER, deadline=float("inf"), correlation_id="message-7")

    assert answer.as_json() == {
        "status": 201,
        "headers": {"x-amzn-requestid": REQUEST_ID, "content-type": "application/json", "etag": '"1"'},
        "body": {"id": 1},
        "attempts": 1,
        "request_id": REQUEST_ID,
    }
    assert answer.content == b'{"id": 1}'
    [request] = world.api.requests
    assert request.body == b'{"sku":"tea"}'
    assert {name: request.headers[name] for name in request.headers if not name.lower().startswith("x-amz-")} == {
        "Accept": "application/json",
        "Authorization": request.headers["Authorization"],
        "Content-Type": "application/json",
        "Idempotency-Key": "key-1",
        "User-Agent": f"cross-account-api/{__version__}",
        "X-Amzn-Trace-Id": "Root=1-69689f80-0f1e2d3c4b5a69788796a5b4;Sampled=1",
        "X-Correlation-Id": "message-7",
    }
    world.client.send(ORDER, correlation_id="a\r\nX-Evil: 1")
    assert "X-Correlation-Id" not in world.api.requests[1].headers


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "post", "patch"])
def test_a_method_of_http_is_one_of_the_client(world: World, method: str) -> None:
    getattr(world.client, method)("/orders", idempotency_key="k", headers={"X-A": "b"})

    [request] = world.api.requests
    assert (request.method, request.url, request.headers["X-A"]) == (method.upper(), f"{API_URL}/orders", "b")


@pytest.mark.parametrize(
    ("reply", "error_type"),
    [
        (unreachable(), ConnectionFailedError),
        (typed(b'{"id":'), InvalidResponseError),
        (typed(b"[" * 100_000), InvalidResponseError),
        (typed(b'{"a": NaN}', "application/problem+json; charset=utf-8"), InvalidResponseError),
        (Reply(429), ThrottledError),
        (Reply(502, b"<html>"), ServerError),
        (json_reply(409, {}, Retry_After="0"), InProgressError),
    ],
)
def test_transient_failures_are_retried(world: World, reply: Reply | Exception, error_type: type[CallError]) -> None:
    world.api.script = [reply]
    assert world.client.send(ORDER, deadline=world.clock.now + 100).attempts == 2

    world.api.rest = reply
    error = world.failure()

    assert type(error) is error_type
    assert error.attempts == 6
    assert error.throttled == (6 if error_type is ThrottledError else 0)
    assert world.clock.pauses == [0.5, 0.5, 1, 2, 4, 8]
    assert len({request.body for request in world.api.requests}) == 1
    assert {request.headers["Idempotency-Key"] for request in world.api.requests} == {"key-1"}


@pytest.mark.parametrize(
    ("reply", "error_type"),
    [
        (Reply(302, headers={"Location": "https://example.com/"}), RedirectError),
        (Reply(400), BadRequestError),
        (json_reply(403, {"error": {"code": "forbidden", "message": "no"}}), ForbiddenError),
        (refusal("MissingAuthenticationTokenException"), ForbiddenError),
        (Reply(404), NotFoundError),
        (Reply(409), ConflictError),
        (CertificateError("self-signed certificate"), CertificateError),
    ],
)
def test_permanent_failures_are_not_retried(
    world: World, reply: Reply | Exception, error_type: type[CallError]
) -> None:
    world.api.rest = reply

    error = world.failure()

    assert type(error) is error_type
    assert len(world.api.requests) == 1
    assert world.clock.pauses == []


@pytest.mark.parametrize(("status", "action"), [(202, "challenge"), (403, "block"), (503, "block")])
def test_what_the_web_acl_stops_is_no_success_whatever_its_status(world: World, status: int, action: str) -> None:
    world.api.rest = Reply(status, b"", {"x-amzn-waf-action": action})

    error = world.failure()

    assert type(error) is ForbiddenError
    assert (error.status, error.code, error.detail, error.may_have_arrived) == (status, "WafAction", action, False)
    assert "Account A: the stage's web ACL (AWS WAF)" in error.remedy
    assert len(world.api.requests) == 1


def test_the_log_says_what_was_repeated_and_why_but_no_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cross_account_api")
    world.api.script = [Reply(503), refusal("ExpiredTokenException"), unreachable()]

    world.client.get("/orders", query={"q": "hunter2"}, headers={"X-Token": "hunter2"})

    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "cross_account_api"]
    assert [level for level, _ in lines] == ["DEBUG", "INFO", "DEBUG", "INFO", "INFO", "INFO", "DEBUG"]
    assert lines[0][1] == "GET /orders: attempt 1: 503"
    assert re.fullmatch(r"GET /orders: The API answered 503 .*; attempt 2 in 0.5 s", lines[1][1])
    assert lines[3][1] == "the session was refused (ExpiredTokenException) and is replaced"
    assert re.fullmatch(r"GET /orders: No complete response .*; attempt 4 in 2.0 s", lines[5][1])
    assert not [text for text in ("hunter2", "token-", "secret-", "AWS4") if text in caplog.text]


def test_the_error_says_what_the_api_said(world: World) -> None:
    world.api.rest = json_reply(422, {"error": {"code": "idempotency_key_reused", "message": "another body"}})

    error = world.failure()

    assert isinstance(error, ApiError)
    said = (error.status, error.code, error.detail, error.request_id, error.retry_after)
    assert said == (422, "idempotency_key_reused", "another body", REQUEST_ID, None)
    assert str(error) == (
        f"The API answered 422 idempotency_key_reused: another body (request id {REQUEST_ID}). Account B: fix the call."
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"[" * 100_000, b'{"error": []}', b'{"error": {"code": 1, "message": {}}}', b"\xff"],
)
def test_an_error_without_explanation_is_still_the_error(world: World, body: bytes) -> None:
    world.api.rest = Reply(400, body)

    assert str(world.failure()) == f"The API answered 400 (request id {REQUEST_ID}). Account B: fix the call."


@pytest.mark.parametrize(
    ("asked", "pause"), [("7", 7.5), ("-7", 0.5), ("soon", 0.5), ("1.5", 0.5), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.5)]
)
def test_retry_after_is_honoured(world: World, asked: str, pause: float) -> None:
    world.api.script = [Reply(429, headers={"Retry-After": asked})]

    world.client.send(ORDER, deadline=world.clock.now + 100)

    assert world.clock.pauses == [pause]


def test_retry_after_as_a_date_is_honoured() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    assert parse_retry_after(date) == pytest.approx(600, abs=60)
    for value in ("9" * 5000, "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 99 Foo 99999 99:99:99 GMT", "\xff"):
        assert (parse_retry_after(value) or 0) >= 0, "a pause or nothing"


@pytest.mark.parametrize(
    ("asked", "seconds", "attempts"),
    [("", 6, 4), ("", 1.9, 0), *((asked, 100, 1) for asked in ("3600", "9" * 500, "Fri, 31 Dec 9999 23:59:59 GMT"))],
)
def test_no_attempt_is_started_that_could_not_end_in_time(
    world: World, asked: str, seconds: float, attempts: int
) -> None:
    world.api.rest = Reply(429, headers={"Retry-After": asked})
    start = world.clock.now

    error = world.failure(seconds)

    assert isinstance(error, DeadlineError)
    assert isinstance(error.__cause__, ThrottledError if attempts else type(None))
    assert f"No time for attempt {attempts + 1}: " in str(error)
    assert str(error.__cause__ or "") in str(error)
    assert error.attempts == len(world.api.requests) == attempts
    assert world.clock.now - start < 4


def test_time_that_getting_credentials_takes_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly() -> object:
        world.clock.sleep(9)
        return world.credentials.session

    monkeypatch.setattr(world.credentials, "get_frozen_credentials", slowly)

    assert isinstance(world.failure(10), DeadlineError)
    assert world.api.requests == []


def test_an_attempt_has_no_more_time_than_is_left(world: World) -> None:
    world.client.send(ORDER, deadline=world.clock.now + 100)
    world.client.send(ORDER, deadline=world.clock.now + 12)

    long, short = world.api.timeouts
    assert (long.connect, long.read, long.total) == (3, 30, 100)
    assert (short.connect, short.read, short.total) == (3, 30, 12)


EXPIRED, UNKNOWN = refusal("ExpiredTokenException"), refusal("UnrecognizedClientException")
DENIED, UNSIGNED = (
    refusal(f"{code}Exception:http://internal.amazon.com/") for code in ("AccessDenied", "InvalidSignature")
)


@pytest.mark.parametrize(
    ("script", "renewable", "refused", "error"),
    [
        ([EXPIRED], True, [True], None),
        ([UNKNOWN], True, [True], None),
        ([DENIED], True, [False], None),
        ([UNSIGNED], True, [False], None),
        ([EXPIRED] * 2, True, [True], ExpiredSessionError),
        ([Reply(500), EXPIRED] * 2, True, [True], ExpiredSessionError),
        ([DENIED] * 2, True, [False], ForbiddenError),
        ([DENIED], False, [False], ForbiddenError),
        ([UNSIGNED], False, [False], ForbiddenError),
    ],
)
def test_a_refused_session_is_replaced_once_at_once(
    world: World, script: list[Reply], renewable: bool, refused: list[bool], error: type[ApiError] | None
) -> None:
    """It may have expired, or been revoked."""
    world.credentials.renewable, world.api.script = renewable, list(script)
    first = world.credentials.session

    if error:
        assert type(world.failure()) is error
    else:
        assert world.client.send(ORDER).attempts == len(script) + 1

    assert world.credentials.refused == [(first, expired) for expired in refused]
    assert len(world.clock.pauses) == script.count(Reply(500))
    assert len(world.api.requests) == len(script) + (error is None)
    tokens = {request.headers["x-amz-security-token"] for request in world.api.requests}
    assert tokens == ({"token-1", "token-2"} if renewable else {"token-1"})


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (Reply(204, b""), None),
        (Reply(200, b"tea"), "tea"),
        (typed(b"tea \xe2\x98\x95", "text/plain"), "tea ☕"),
        (typed(b"\xff\xfe", "image/png"), "//4="),
        (typed(b"null"), None),
        (typed(b"[1]", "Application/vnd.api+JSON; charset=utf-8"), [1]),
        (typed(b""), None),
        (typed(b"caf\xe9", "text/plain; charset=iso-8859-1"), "caf\u00e9"),
        (typed(b"caf\xe9", "text/plain"), "Y2Fm6Q=="),
        (typed(b"tea", "text/plain; charset=idna"), "dGVh"),
        (typed(b"tea", "text/plain", **{"Content-Encoding": "br"}), "dGVh"),
        (typed(b'{"n": %b, "m": 7}' % NINES), {"n": NINES.decode(), "m": 7}),
        (typed(b'{"a":1}\n', "application/x-ndjson"), '{"a":1}\n'),
        (typed(b'{"a":1}', "application/x-amz-json-1.0"), '{"a":1}'),
        (typed(b"e30.e30.", "application/jwt"), "e30.e30."),
    ],
)
def test_a_body_is_what_its_content_type_says(world: World, reply: Reply, body: object) -> None:
    world.api.rest = reply

    assert world.client.send(ORDER, deadline=float("inf")).body == body


@pytest.mark.parametrize("body", [b'{"a":NaN}', b'{"a":', b"\xff", NINES])
def test_whoever_wants_the_bytes_gets_them_whatever_they_are(world: World, body: bytes) -> None:
    world.api.rest = typed(body)

    answer = world.client.get("/", raw=True)

    assert (answer.content, answer.body, answer.attempts) == (body, None, 1)


def test_a_body_may_be_as_large_as_api_gateway_takes(world: World) -> None:
    """A Lambda function takes 6 MB, and has that limit of its own."""
    world.client.put("/report", body=bytes(10 * 1024 * 1024))
    with pytest.raises(InvalidCallError, match=r"body is 10485761 bytes\. Allowed: at most 10485760 bytes"):
        world.client.put("/report", body=bytes(10 * 1024 * 1024 + 1))

    assert [len(request.body or b"") for request in world.api.requests] == [10 * 1024 * 1024]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_call_that_must_not_be_repeated_needs_a_key(world: World, method: str) -> None:
    with pytest.raises(InvalidCallError, match="idempotency_key is missing"):
        world.client.request(method, "/orders", body={})

    assert world.api.requests == []


TOO_MANY = json_reply(429, {"message": "Too Many Requests"}, x_amzn_errortype="TooManyRequestsException")


@pytest.mark.parametrize(
    ("reply", "is_repeated"),
    [
        (unreachable(), False),
        (Reply(503), False),
        (Reply(429), False),
        (json_reply(409, {}, Retry_After="0"), False),
        (unreachable(may_have_arrived=False), True),
        (TOO_MANY, True),
        (refusal("ExpiredTokenException"), True),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_without_keys_only_what_cannot_have_arrived_is_repeated(
    world: World, method: str, reply: Reply | Exception, is_repeated: bool
) -> None:
    """Idempotent methods are repeated as always."""
    client = world.another(api_ignores_idempotency_keys=True)
    world.api.script = [reply]

    with suppress(CallError):
        assert client.request(method, "/orders", body={}).attempts == 2

    assert len(world.api.requests) == (2 if is_repeated or method == "PUT" else 1)


def test_a_metered_api_gets_its_key_with_every_attempt(world: World) -> None:
    metered = world.another(api_key=API_KEY)
    world.api.script = [Reply(503)]
    metered.get("/orders")
    assert [request.headers["X-Api-Key"] for request in world.api.requests] == [API_KEY, API_KEY]
    # It meters and authorizes nothing: the signature does not need it.
    assert "x-api-key" not in world.api.requests[0].headers["Authorization"]
    assert requests.Request("GET", f"{API_URL}/orders", auth=metered.auth).prepare().headers["X-Api-Key"] == API_KEY

    metered.request("GET", "/orders", headers={"X-API-Key": "the-key-of-the-call-0"})
    world.client.get("/orders")
    sent = [[name for name in request.headers if name.lower() == "x-api-key"] for request in world.api.requests[2:]]
    assert sent == [["X-API-Key"], []]


@pytest.mark.parametrize("told", [{"x_amzn_errortype": "LimitExceededException"}, {}])
def test_a_quota_is_not_waited_for(world: World, told: dict[str, str]) -> None:
    world.api.rest = json_reply(429, {"message": "Limit Exceeded"}, **told)

    with pytest.raises(ThrottledError, match="usage plan's quota"):
        world.client.get("/")

    assert len(world.api.requests) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_url": "ftp://example.com"}, "api_url is 'ftp://example.com'"),
        ({"role_arn": "arn:aws:iam::1:role/x"}, "role_arn is"),
        ({"role_arn": EXECUTOR_ROLE_ARN, "external_id": "a secret"}, "external_id is 8 characters"),
        ({"api_url": "https://api.example.com", "region": "nowhere"}, "region is 'nowhere'"),
        ({"api_key": "a secret"}, "api_key is 8 characters"),
    ],
)
def test_malformed_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        Client(**{"api_url": API_URL, **options})


def test_a_stream_is_opened_like_any_call(world: World) -> None:
    world.api.script = [Reply(503), refusal("ExpiredTokenException"), Reply(200, b"a\xffb", {"Content-Type": "a/b"})]

    with world.client.stream("POST", "/export", query={"a": "b"}, body={}, idempotency_key="k") as response:
        content = list(response)

    assert content == [b"a\xff", b"b"]
    assert (response.status, response.headers["content-type"], response.request_id) == (200, "a/b", REQUEST_ID)
    assert (response.attempts, response.throttled, world.credentials.issued) == (3, 0, 2)
    assert [request.url for request in world.api.requests] == [f"{API_URL}/export?a=b"] * 3
    assert world.api.closed.is_set()


def test_nothing_is_repeated_once_a_stream_has_begun(world: World) -> None:
    world.api.cut = unreachable("cut off")
    with world.client.stream("GET", "/export") as response:
        chunks = iter(response)
        assert [next(chunks), next(chunks)] == [b'{"ok":', b" true}"]
        assert not world.api.closed.is_set()
        with pytest.raises(ConnectionFailedError, match="cut off") as caught:
            next(chunks)

    assert (len(world.api.requests), caught.value.attempts) == (1, 1)
    assert world.api.closed.is_set()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (refusal("AccessDeniedException", "not authorized"), ForbiddenError),
        (Reply(202, b"", {"x-amzn-waf-action": "challenge"}), ForbiddenError),
        (Reply(302), RedirectError),
    ],
)
def test_a_response_that_is_no_success_is_not_streamed(world: World, reply: Reply, error: type[ApiError]) -> None:
    world.credentials.renewable, world.api.rest = False, reply

    with pytest.raises(error) as caught, world.client.stream("GET", "/export"):
        pass

    assert caught.value.attempts == 1
    assert world.api.closed.is_set()


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_stream_needs_an_idle_timeout(world: World, seconds: float) -> None:
    with pytest.raises(InvalidCallError, match="idle_timeout is"):
        world.client.stream("GET", "/", idle_timeout=seconds)
    assert world.api.requests == []


def test_a_transport_of_one_s_own_that_cannot_stream_is_named(world: World) -> None:
    class Sending:
        send = world.api.send

    with world.another(transport=Sending()) as client:
        assert client.get("/").status == 200
        with pytest.raises(SettingsError, match="transport is"):
            client.stream("GET", "/")
