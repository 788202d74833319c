"""What is tried again, when, and what is not."""

from __future__ import annotations

import random
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import IncompleteRead

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from cross_account_api.call import Call
from cross_account_api.client import ApiClient, Tally
from cross_account_api.errors import (
    AnswerTooLargeError,
    ApiError,
    CallerError,
    ConflictError,
    DeadlineError,
    ExpiredSessionError,
    GarbledAnswerError,
    InProgressError,
    NotFoundError,
    RedirectError,
    RefusedError,
    RejectedError,
    ServerError,
    ThrottledError,
    UnreachableError,
)
from cross_account_api.response import ANSWER_LIMIT, parse_retry_after
from tests.support.fakes import REQUEST_ID, FakeApi, FakeCredentials, FakeTime, Reply, json_reply, refusal

ORDER = Call.parse({"method": "POST", "path": "/orders", "body": {"sku": "tea"}, "idempotency_key": "key-1"})


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every pause be as long as its jitter allows."""
    monkeypatch.setattr(random, "uniform", lambda _, high: high)


def failure_of(client: ApiClient, clock: FakeTime, seconds: float = 100, tally: Tally | None = None) -> CallerError:
    with pytest.raises(CallerError) as caught:
        client.send(ORDER, clock.now + seconds, tally=tally)
    return caught.value


def broken(*chain: Exception) -> urllib3.exceptions.HTTPError:
    """Return a connection error with what caused it, the first cause last."""
    error: Exception | None = None
    for cause in reversed(chain):
        cause.__context__ = error
        error = cause
    result = urllib3.exceptions.ProtocolError(
        "HTTPSConnectionPool(host='…'): Max retries exceeded with url: /v1/?token=hunter2"
    )
    result.__context__ = error
    return result


def test_an_answer(client: ApiClient, fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-69689f80-0f1e2d3c4b5a69788796a5b4;Sampled=1")
    fake_api.script = [json_reply(201, {"id": 1}, ETag='"1"')]

    answer = client.send(ORDER, float("inf"), correlation_id="message-7")

    assert answer.as_json() == {
        "status": 201,
        "headers": {"x-amzn-requestid": REQUEST_ID, "content-type": "application/json", "etag": '"1"'},
        "body": {"id": 1},
        "attempts": 1,
        "request_id": REQUEST_ID,
    }
    assert answer.content == b'{"id": 1}'
    [request] = fake_api.requests
    assert request.body == b'{"sku":"tea"}'
    assert {name: request.headers[name] for name in request.headers if not name.lower().startswith("x-amz-")} == {
        "Accept": "application/json",
        "Authorization": request.headers["Authorization"],
        "Content-Type": "application/json",
        "Idempotency-Key": "key-1",
        "User-Agent": "cross-account-api",
        "X-Amzn-Trace-Id": "Root=1-69689f80-0f1e2d3c4b5a69788796a5b4;Sampled=1",
        "X-Correlation-Id": "message-7",
    }


def test_a_call_without_body_sends_no_content_type(client: ApiClient, fake_api: FakeApi) -> None:
    client.send(Call.parse({"path": "/", "headers": {"accept": "text/csv"}}), float("inf"))

    [request] = fake_api.requests
    assert "Content-Type" not in request.headers
    assert request.headers["accept"] == "text/csv"
    assert "Accept" not in request.headers


@pytest.mark.parametrize(
    ("reply", "error_type"),
    [
        (urllib3.exceptions.ConnectTimeoutError(), UnreachableError),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "late"), UnreachableError),  # type: ignore[arg-type]
        (urllib3.exceptions.SSLError(ssl.SSLError()), UnreachableError),
        (urllib3.exceptions.ProtocolError(), UnreachableError),
        (urllib3.exceptions.ClosedPoolError(None, "closed"), UnreachableError),  # type: ignore[arg-type]
        (Reply(200, b"12345", {"Content-Length": "10"}), UnreachableError),
        (Reply(200, b"not gzip", {"Content-Encoding": "gzip"}), UnreachableError),
        (Reply(200, b'{"id":', {"Content-Type": "application/json"}), GarbledAnswerError),
        (Reply(200, b"[" * 100_000, {"Content-Type": "application/json"}), GarbledAnswerError),
        (Reply(200, b'{"a": NaN}', {"Content-Type": "application/problem+json; charset=utf-8"}), GarbledAnswerError),
        (Reply(429), ThrottledError),
        (Reply(500), ServerError),
        (Reply(502, b"<html>"), ServerError),
        (Reply(503), ServerError),
        (Reply(504), ServerError),
        (json_reply(409, {}, Retry_After="0"), InProgressError),
    ],
)
def test_what_may_pass_is_tried_again(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime, reply: Reply | Exception, error_type: type[CallerError]
) -> None:
    fake_api.script = [reply]
    assert client.send(ORDER, clock.now + 100).attempts == 2

    fake_api.rest = reply
    tally = Tally()
    error = failure_of(client, clock, tally=tally)

    assert type(error) is error_type
    assert tally.attempts == 6
    assert tally.throttled == (6 if error_type is ThrottledError else 0)
    assert tally.failure is error
    assert clock.pauses == [0.5, 0.5, 1, 2, 4, 8]
    assert len({request.body for request in fake_api.requests}) == 1
    assert {request.headers["Idempotency-Key"] for request in fake_api.requests} == {"key-1"}


@pytest.mark.parametrize(
    ("reply", "error_type"),
    [
        (Reply(302, headers={"Location": "https://example.com/"}), RedirectError),
        (Reply(304), RedirectError),
        (Reply(400), RejectedError),
        (Reply(401), RejectedError),
        (json_reply(403, {"error": {"code": "forbidden", "message": "no"}}), RefusedError),
        (refusal("MissingAuthenticationTokenException"), RefusedError),
        (refusal("ForbiddenException"), RefusedError),
        (Reply(404), NotFoundError),
        (Reply(408), RejectedError),
        (Reply(409), ConflictError),
        (Reply(413), RejectedError),
        (Reply(422), RejectedError),
        (Reply(200, b"x" * (ANSWER_LIMIT + 1)), AnswerTooLargeError),
    ],
)
def test_what_will_not_pass_is_not_tried_again(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime, reply: Reply, error_type: type[CallerError]
) -> None:
    fake_api.rest = reply

    error = failure_of(client, clock)

    assert type(error) is error_type
    assert len(fake_api.requests) == 1
    assert clock.pauses == []


def test_an_answer_of_the_largest_size_is_read(client: ApiClient, fake_api: FakeApi) -> None:
    fake_api.rest = Reply(200, b"x" * ANSWER_LIMIT)

    assert len(client.send(ORDER, float("inf")).content) == ANSWER_LIMIT


def test_the_error_says_what_the_api_said(client: ApiClient, fake_api: FakeApi, clock: FakeTime) -> None:
    fake_api.rest = json_reply(422, {"error": {"code": "idempotency_key_reused", "message": "another body"}})

    error = failure_of(client, clock)

    assert isinstance(error, ApiError)
    assert (error.status, error.code, error.request_id, error.retry_after) == (
        422,
        "idempotency_key_reused",
        REQUEST_ID,
        None,
    )
    assert str(error) == (
        f"The API answered 422 idempotency_key_reused: another body (request id {REQUEST_ID}). "
        "Account B: mend the call."
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"[" * 100_000, b'{"error": []}', b'{"error": {"code": 1, "message": {}}}', b"\xff"],
)
def test_an_error_without_explanation_is_still_the_error(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime, body: bytes
) -> None:
    fake_api.rest = Reply(400, body)

    assert str(failure_of(client, clock)) == (
        f"The API answered 400 (request id {REQUEST_ID}). Account B: mend the call."
    )


def test_a_refused_signature_shows_no_canonical_request(client: ApiClient, fake_api: FakeApi, clock: FakeTime) -> None:
    fake_api.rest = refusal(
        "IncompleteSignatureException",
        "The request signature we calculated does not match.\n\nThe Canonical String was 'x-amz-security-token:IQoJ'",
    )

    message = str(failure_of(client, clock))

    assert "does not match." in message
    assert "IQoJ" not in message


def test_a_connection_error_tells_its_first_cause_and_no_url(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime
) -> None:
    fake_api.rest = broken(
        urllib3.exceptions.ProtocolError("Connection aborted."), ConnectionRefusedError(111, "Connection refused")
    )

    message = str(failure_of(client, clock))

    assert "ProtocolError: [Errno 111] Connection refused." in message
    assert "hunter2" not in message


def test_pauses_have_full_jitter(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, float]] = []

    def lowest(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    monkeypatch.setattr(random, "uniform", lowest)
    fake_api.rest = Reply(500)

    failure_of(client, clock)

    assert asked[:5] == [(0, 0.5), (0, 1), (0, 2), (0, 4), (0, 8)]


@pytest.mark.parametrize(
    ("asked", "pause"), [("7", 7.5), ("0", 0.5), ("-7", 0.5), ("soon", 0.5), ("", 0.5), ("1.5", 0.5)]
)
def test_retry_after_in_seconds_is_heeded(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime, asked: str, pause: float
) -> None:
    fake_api.script = [Reply(429, headers={"Retry-After": asked})]

    client.send(ORDER, clock.now + 100)

    assert clock.pauses == [pause]


def test_retry_after_as_a_date_is_heeded(client: ApiClient, fake_api: FakeApi, clock: FakeTime) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=10)
    fake_api.script = [
        Reply(503, headers={"Retry-After": format_datetime(moment, usegmt=True)}),
        Reply(503, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
    ]

    client.send(ORDER, clock.now + 100)

    assert clock.pauses == [pytest.approx(10, abs=1.5), 1]


@given(st.text(st.characters(codec="latin-1")) | st.from_regex(r"\s*-?[0-9]{1,400}\s*"))
def test_any_retry_after_is_a_pause_or_nothing(value: str) -> None:
    seconds = parse_retry_after(value)

    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("value", "is_understood"),
    [
        ("9" * 5000, True),
        ("Thu, 01 Jan 2026 00:00:00 -0000", True),
        ("Fri, 31 Dec 9999 23:59:59 GMT", True),
        ("Fri, 31 Dec 9999 23:59:59 -2359", True),
        ("Mon, 99 Foo 99999 99:99:99 GMT", False),
    ],
)
def test_absurd_retry_afters(value: str, is_understood: bool) -> None:
    assert (parse_retry_after(value) is not None) is is_understood


@pytest.mark.parametrize("asked", ["3600", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_pause_that_is_longer_than_the_time_left_ends_the_call_at_once(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime, asked: str
) -> None:
    fake_api.rest = Reply(429, headers={"Retry-After": asked})

    error = failure_of(client, clock)

    assert isinstance(error, DeadlineError)
    assert isinstance(error.__cause__, ThrottledError)
    assert str(error.__cause__) in str(error)
    assert error.attempts == 1
    assert clock.pauses == []


def test_no_attempt_is_started_that_could_not_end_in_time(
    client: ApiClient, fake_api: FakeApi, clock: FakeTime
) -> None:
    fake_api.rest = Reply(500)
    start = clock.now

    error = failure_of(client, clock, seconds=6)

    assert isinstance(error, DeadlineError)
    assert isinstance(error.__cause__, ServerError)
    assert error.attempts == len(fake_api.requests) == 4
    assert clock.now - start < 4


def test_without_time_nothing_is_sent(client: ApiClient, fake_api: FakeApi, clock: FakeTime) -> None:
    error = failure_of(client, clock, seconds=1.9)

    assert isinstance(error, DeadlineError)
    assert "No time for attempt 1: 1.9 s are left" in str(error)
    assert error.__cause__ is None
    assert fake_api.requests == []


def test_time_that_getting_credentials_takes_counts(
    client: ApiClient, fake_api: FakeApi, credentials: FakeCredentials, clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly() -> object:
        clock.sleep(9)
        return credentials.session

    monkeypatch.setattr(credentials, "frozen", slowly)

    assert isinstance(failure_of(client, clock, seconds=10), DeadlineError)
    assert fake_api.requests == []


def test_an_attempt_has_no_more_time_than_is_left(client: ApiClient, fake_api: FakeApi, clock: FakeTime) -> None:
    client.send(ORDER, clock.now + 100)
    client.send(ORDER, clock.now + 12)

    long, short = fake_api.timeouts
    assert (long.connect_timeout, long._read, long.total) == (3, 30, 100)
    assert (short.connect_timeout, short.total) == (1.5, 12)


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_an_expired_session_is_replaced_once_at_once(
    client: ApiClient, fake_api: FakeApi, credentials: FakeCredentials, clock: FakeTime, code: str
) -> None:
    fake_api.script = [refusal(code)]
    first = credentials.session

    answer = client.send(ORDER, clock.now + 100)

    assert answer.attempts == 2
    assert credentials.refused == [(first, True)]
    assert clock.pauses == []
    tokens = [request.headers["x-amz-security-token"] for request in fake_api.requests]
    assert tokens == ["token-1", "token-2"]


def test_a_session_that_is_refused_again_is_refused(
    client: ApiClient, fake_api: FakeApi, credentials: FakeCredentials, clock: FakeTime
) -> None:
    fake_api.rest = refusal("ExpiredTokenException")

    error = failure_of(client, clock)

    assert type(error) is ExpiredSessionError
    assert len(fake_api.requests) == 2


def test_a_session_is_replaced_once_also_between_other_failures(
    client: ApiClient, fake_api: FakeApi, credentials: FakeCredentials, clock: FakeTime
) -> None:
    fake_api.script = [Reply(500), refusal("ExpiredTokenException"), Reply(500), refusal("ExpiredTokenException")]

    assert type(failure_of(client, clock)) is ExpiredSessionError
    assert credentials.issued == 2


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidSignatureException"])
@pytest.mark.parametrize("renewable", [True, False])
def test_a_session_that_may_be_revoked_is_replaced_if_that_makes_sense(
    client: ApiClient, fake_api: FakeApi, credentials: FakeCredentials, code: str, renewable: bool
) -> None:
    credentials.renewable = renewable
    fake_api.rest = refusal(f"{code}:http://internal.amazon.com/")

    with pytest.raises(RefusedError) as caught:
        client.send(ORDER, float("inf"))
    error = caught.value

    assert type(error) is RefusedError
    assert error.code == code
    assert len(fake_api.requests) == (2 if renewable else 1)
    assert [expired for _, expired in credentials.refused] == [False]


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (Reply(204, b""), None),
        (Reply(200, b"tea \xe2\x98\x95", {"Content-Type": "text/plain"}), "tea ☕"),
        (Reply(200, b"tea"), "tea"),
        (Reply(200, b"\xff\xfe", {"Content-Type": "image/png"}), "//4="),
        (Reply(200, b"null", {"Content-Type": "application/json"}), None),
        (Reply(200, b"[1]", {"Content-Type": "Application/vnd.api+JSON; charset=utf-8"}), [1]),
        (Reply(200, b"", {"Content-Type": "application/json"}), None),
    ],
)
def test_a_body_is_what_its_content_type_says(client: ApiClient, fake_api: FakeApi, reply: Reply, body: object) -> None:
    fake_api.rest = reply

    assert client.send(ORDER, float("inf")).body == body


def test_an_incomplete_read_is_named(client: ApiClient, fake_api: FakeApi, clock: FakeTime) -> None:
    fake_api.rest = broken(IncompleteRead(b"12345", 5))

    assert "IncompleteRead(5 bytes read, 5 more expected)" in str(failure_of(client, clock))
