"""The signature of any call is right; tests/wire/signing has thousands, and botocore to compare with."""

import datetime as dt
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, Self

import pytest

from cross_account_api.call import Call
from cross_account_api.client import Client
from cross_account_api.errors import InvalidCallError
from cross_account_api.transport import Request
from tests.support.fakes import FakeApi, FakeCredentials, FakeTime, Reply, json_reply

# Input that the signer gets wrong, or raises on, if it is passed on unchanged.
ODD_CALLS: list[dict[str, Any]] = [
    {"path": "/orders/a;b=c/d;e"},
    {"path": "/orders/100%"},
    {"path": "/orders/%FF/%2F"},
    {"path": "/a b/+/~/*'()!$&,:@=/"},
    {"path": "/é/☕/"},
    {"path": "/", "query": {"a": "b;c", "d e": "f+g h", "é": "☕"}},
    {"path": "/", "query": {"b": ["2", "1", ""], "a": "", "B": "x", "a-b": "1", "a.b": "2", "ab": "3"}},
    {"path": "/", "query": {"fragment": "#a?b/c&d=e", "encoded": "%20%FF"}},
    {"path": "/", "headers": {"X-Note": "it's 'x"}},
    {"path": "/", "headers": {"X-Note": "a  b   'c"}},
    {"path": "/", "headers": {"X-Note": '"'}},
    {"path": "/", "method": "PUT", "body": "text", "headers": {"Content-Type": "text/plain; charset"}},
    {"path": "/", "method": "PUT", "body": "caf\u00e9", "headers": {"Content-Type": "text/plain; charset=iso-8859-1"}},
    {"path": ["orders", "a/b", "c?d#e"]},
    {"path": "/", "method": "PUT", "body": {"sku": "tea ☕"}},
    {"path": "/", "method": "DELETE"},
    {"path": "/", "method": "HEAD"},
]


@pytest.mark.parametrize("event", ODD_CALLS)
def test_odd_calls_are_signed_right(client: Client, fake_api: FakeApi, event: dict[str, Any]) -> None:
    """The API returns 403 unless the signature is right."""
    client.send(Call.parse(event))

    [request] = fake_api.requests
    assert request.method == event.get("method", "GET")
    assert event.get("headers", {}).items() <= request.headers.items()
    signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"
    assert signed in request.headers["Authorization"], "only what must be signed is"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "/orders#fragment"),
        ("headers", {"X-Amz-Meta": "a  b"}),
        ("headers", {"Date": "Thu, 15 Jan 2026 08:00:00 GMT"}),
        ("headers", {"X-Note": b"bytes"}),
        ("body", (item for item in (b"a", b"b"))),
    ],
)
def test_what_cannot_be_signed_right_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidCallError, match=field):
        Call.parse({"method": "PUT", "path": "/", field: value})


def test_keys_of_a_user_have_no_session_token(client: Client, fake_api: FakeApi, credentials: FakeCredentials) -> None:
    credentials.session = fake_api.sessions[None] = credentials.session._replace(token=None)

    client.send(Call.parse({"path": "/"}))

    assert "x-amz-security-token" not in fake_api.requests[0].headers


def test_threads_sign_right_while_the_session_changes_under_them(
    client: Client, fake_api: FakeApi, credentials: FakeCredentials
) -> None:
    def answer(request: Request) -> Reply:
        credentials.refresh(credentials.session, expired=True)
        return json_reply(200, {})

    fake_api.answer = answer
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.send(Call.parse({"path": "/"})), range(400)))

    assert [answer.attempts for answer in answers] == [1] * 400


class MidnightClock(dt.datetime):
    """A clock on which each look is a second later, starting one second before midnight UTC."""

    seconds = 0

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        cls.seconds += 1
        return cls(2026, 1, 14, 23, 59, 58, tzinfo=tz) + dt.timedelta(seconds=cls.seconds)


def test_each_attempt_is_signed_anew_also_across_midnight(
    client: Client, fake_api: FakeApi, clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_clock = SimpleNamespace(datetime=MidnightClock, timezone=dt.timezone)
    monkeypatch.setattr(sys.modules["requests_aws4auth.aws4auth"], "datetime", fake_clock)
    monkeypatch.setattr(sys.modules["requests_aws4auth.aws4signingkey"], "datetime", MidnightClock)
    fake_api.script = [Reply(503)] * 5

    answer = client.send(Call.parse({"path": "/"}), deadline=clock.now + 1000)

    dates = [request.headers["x-amz-date"] for request in fake_api.requests]
    assert answer.attempts == 6
    assert len(set(dates)) == 6
    assert {date[:8] for date in dates} <= {"20260114", "20260115"}
    assert dates[-1].startswith("20260115T0000")
