"""The signature of any call is the one that botocore computes."""

from __future__ import annotations

import datetime as dt
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cross_account_api.call import Call
from cross_account_api.client import Client
from cross_account_api.errors import InvalidCallError
from cross_account_api.transport import Request
from tests.support.fakes import API_URL, FakeApi, FakeCredentials, FakeTime, Reply, is_signed, json_reply

# Input that the signer gets wrong, or raises on, if it is passed on unchanged.
ODD_CALLS: list[dict[str, Any]] = [
    {"path": "/orders/a;b"},
    {"path": "/orders/a;b=c/d;e"},
    {"path": "/orders/100%"},
    {"path": "/orders/%FF"},
    {"path": "/orders/%2F"},
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


def send(event: dict[str, Any], api_url: str = API_URL) -> Request:
    """Make a call to an API that returns 403 unless the signature is right, and return the request."""
    api = FakeApi()
    Client(
        api_url, region="eu-west-1", credentials=FakeCredentials(api), transport=api, api_ignores_idempotency_keys=True
    ).send(Call.parse(event))
    return api.requests[0]


@pytest.mark.parametrize("event", ODD_CALLS)
def test_odd_calls_are_signed_right(event: dict[str, Any]) -> None:
    request = send(event)

    assert request.method == event.get("method", "GET")
    for name, value in event.get("headers", {}).items():
        assert request.headers[name] == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "/orders#fragment"),
        ("headers", {"X-Amz-Meta": "a  b"}),
        ("headers", {"X-Amz-Meta": 'a "b" c'}),
        ("headers", {"X-Amz-Meta": "é"}),
        ("headers", {"Date": "Thu, 15 Jan 2026 08:00:00 GMT"}),
        ("headers", {"X-Note": b"bytes"}),
        ("body", (item for item in (b"a", b"b"))),
    ],
)
def test_what_cannot_be_signed_right_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidCallError, match=field):
        Call.parse({"method": "PUT", "path": "/", field: value})


plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))
segment = plain.map(lambda text: text.replace("/", "").replace("?", "").replace("#", "")).filter(
    lambda text: text not in ("", ".", "..")
)


@given(
    event=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["GET", "HEAD", "DELETE", "PUT", "POST", "PATCH"]),
            "path": st.lists(segment, max_size=3).map(lambda segments: "/" + "/".join(segments)),
            "query": st.dictionaries(plain.filter(bool), st.lists(plain, min_size=1, max_size=2), max_size=3),
            "headers": st.dictionaries(
                st.from_regex(r"X-[B-Za-z]{1,5}", fullmatch=True).map(str.title),
                st.from_regex(r"[!-~]([ -~]*[!-~])?", fullmatch=True),
                max_size=2,
            ),
            "idempotency_key": st.from_regex(r"[!-~]{1,20}", fullmatch=True),
        }
    ),
    body=st.none() | st.dictionaries(plain, plain, max_size=2),
    api_url=st.sampled_from([API_URL, "https://api.example.com:8443", "http://[::1]:4566/v1", "http://127.0.0.1/a/b"]),
)
def test_any_call_is_signed_right(event: dict[str, Any], body: object, api_url: str) -> None:
    if event["method"] not in ("GET", "HEAD"):
        event["body"] = body

    request = send(event, api_url)

    assert request.headers["Idempotency-Key"] == event["idempotency_key"]


def test_the_check_itself_notices_a_change(client: Client, fake_api: FakeApi) -> None:
    client.send(Call.parse({"method": "PUT", "path": "/a", "query": {"b": "c"}, "body": {}}))
    [request] = fake_api.requests
    [session] = fake_api.sessions.values()
    assert is_signed(request, session)

    changed = replace(request, body=b"[]")
    assert not is_signed(changed, session)
    changed = replace(request, url=f"{API_URL}/a?b=d")
    assert not is_signed(changed, session)
    changed = replace(request, url="https://example.com/v1/a?b=c")
    assert not is_signed(changed, session)
    assert not is_signed(request, session, region="eu-central-1")


def test_only_what_must_be_signed_is(client: Client, fake_api: FakeApi) -> None:
    client.send(Call.parse({"path": "/", "headers": {"X-Note": "a"}}))

    assert (
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"
        in fake_api.requests[0].headers["Authorization"]
    )


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
