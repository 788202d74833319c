from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cross_account_api.call import MAX_BODY_BYTES, METHODS, Call
from cross_account_api.errors import InvalidCallError
from tests.support.fakes import API_URL

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)
events = st.fixed_dictionaries(
    {"path": st.text() | st.from_regex(r"/[\w/.%~ -]*", fullmatch=True) | json_values},
    optional={
        "method": st.sampled_from(METHODS) | json_values,
        "query": st.dictionaries(st.text(), json_values, max_size=3) | json_values,
        "headers": st.dictionaries(st.from_regex(r"[A-Za-z-]+", fullmatch=True), st.text(), max_size=3) | json_values,
        "body": json_values,
        "idempotency_key": st.text() | json_values,
        "requestPayload": json_values,
    },
)


def error_of(event: object) -> InvalidCallError:
    with pytest.raises(InvalidCallError) as caught:
        Call.parse(event)
    return caught.value


def test_all_fields() -> None:
    call = Call.parse(
        {
            "method": "POST",
            "path": "/orders/é",
            "query": {"a": ["1", "2"], "b": "", "c": True, "d": 1.5, "f": -3},
            "headers": {"Accept-Language": "en", "Content-Type": "application/vnd.api+json", "Cookie": "a=b"},
            "body": {"sku": "tea ☕", "quantity": 1},
            "idempotency_key": "<aws.scheduler.scheduled-time>",
        }
    )

    assert call.query == (("a", "1"), ("a", "2"), ("b", ""), ("c", "true"), ("d", "1.5"), ("f", "-3"))
    assert call.target == "/orders/%C3%A9?a=1&a=2&b=&c=true&d=1.5&f=-3"
    assert call.headers[2] == ("Cookie", "a=b")
    assert call.body == '{"sku":"tea ☕","quantity":1}'.encode()
    assert call.idempotency_key == "<aws.scheduler.scheduled-time>"


def test_fields_that_are_null_are_absent_and_envelopes_removed() -> None:
    event = {"path": "/", "query": None, "headers": None, "body": None, "idempotency_key": None}
    envelope = {"version": "1.0", "requestPayload": {"version": "1.0", "requestPayload": event}}

    assert Call.parse(event) == Call.parse(envelope) == Call(method="GET", path="/", encoded_path="/")


BAD_PATHS: list[object] = [
    *(None, 1, True, {}, "", "orders", "https://example.com/", "//example.com/", "/a//b", "/a/../b", "/a/."),
    *("/orders?limit=1", "/orders#1", "/a\nb", "/a\x7f", "/\ud800"),
    *([], ["a", 1], ["a", ""], ["..", "a"], ["a", "b/../c"]),
]
BAD_EVENTS: tuple[object, ...] = (None, [], "/whoami", {"requestPayload": []})
BAD_QUERIES: tuple[object, ...] = ("a=1", [], {"": "a"}, {1: "a"}, {"\ud800": "a"})
BAD_VALUES: tuple[object, ...] = (None, {"b": 1}, [["b"]], [], "\udfff", float("nan"), 10**5000)
BAD_TEXTS = (1, b"1", "", " 1", "1\r\nHost: example.com", "é")
PUT = {"path": "/", "method": "PUT"}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        *((event, "call") for event in BAD_EVENTS),
        ({"path": "/", "url": "https://example.com"}, "call"),
        ({"path": "/", 1: 2}, "call"),
        ({}, "path"),
        *(({"path": path}, "path") for path in BAD_PATHS),
        *(({"path": "/", "method": method}, "method") for method in ("get", "OPTIONS", ["GET"], None)),
        *(({"path": "/", "query": query}, "query") for query in BAD_QUERIES),
        *(({"path": "/", "query": {"a": value}}, "query.a") for value in BAD_VALUES),
        *(({"path": "/", "headers": headers}, "headers") for headers in ("a", {"a b": "c"}, {"": "c"}, {"é": "c"})),
        *(({"path": "/", "headers": {"X-A": text}}, "headers.X-A") for text in BAD_TEXTS),
        *(({"path": "/", "idempotency_key": key}, "idempotency_key") for key in ("", 7, "a\n", "é", "a" * 256)),
        ({"path": "/", "headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
        ({"path": "/", "method": "GET", "body": {}}, "body"),
        ({"path": "/", "method": "HEAD", "body": {}}, "body"),
        (PUT | {"body": float("inf")}, "body"),
        (PUT | {"body": ["\ud800"]}, "body.0"),
        (PUT | {"body": {1, 2}}, "body"),
        (PUT | {"body": bytearray(b"{}")}, "body"),
        (PUT | {"body": "tea", "base64": 1}, "base64"),
        (PUT | {"body": "tea!", "base64": True}, "body"),
        (PUT | {"body": {}, "base64": True}, "body"),
        (PUT | {"body": {}, "headers": {"Content-Type": "text/xml"}}, "body"),
        (PUT | {"body": "☕", "headers": {"Content-Type": "text/a; charset=latin-1"}}, "body"),
        *(
            (PUT | {"body": "tea", "headers": {"Content-Type": f"text/a; charset={charset}"}}, "body")
            for charset in ("none", "idna", "rot13")
        ),
        ({"path": "/", "headers": {"X-A": "a" * 10_000, "X-B": "b" * 300}}, "call"),
        ({"path": "/" + "é" * 2_000}, "call"),
        ({"path": "/", "query": {"a": ["b" * 10] * 1_000}}, "call"),
        ({"path": "/", "headers": {"x" * 10_000: 1}}, "headers." + "x" * 100 + "…"),
        (PUT | {"body": 10**5000}, "body"),
        (PUT | {"body": "x" * MAX_BODY_BYTES}, "body"),
    ],
)
def test_the_error_names_field_value_and_what_is_allowed(event: object, field: str) -> None:
    error = error_of(event)

    assert error.field == field
    assert str(error).startswith(f"{field} is {error.value}. Allowed: {error.allowed}.")
    assert len(str(error)) < 600
    assert str(error).isprintable()


RESERVED = """Host Authorization Date X-Amz-Date x-amz-security-token X-Amzn-Trace-Id X-Correlation-Id Idempotency-Key
User-Agent Accept-Encoding Content-Length Transfer-Encoding TE Trailer Upgrade Expect Connection Keep-Alive
Proxy-Authorization"""


@pytest.mark.parametrize("name", RESERVED.split())
def test_headers_of_signature_and_connection_are_refused(name: str) -> None:
    assert error_of({"path": "/", "headers": {name: "secret"}}).field == f"headers.{name}"


def test_values_that_may_be_secret_are_not_repeated() -> None:
    secret = "hunter2"
    for event in (
        secret,
        {"path": "/", "headers": {"X-Token": f" {secret}"}},
        {"path": "/", "headers": secret},
        {"path": "/", "query": {"token": [secret, None]}},
        {"path": "/", "query": {"token": f"{secret}\ud800"}},
        {"path": "/", "body": secret},
        {"path": "/", "method": "PUT", "body": [secret, float("nan")]},
    ):
        assert secret not in str(error_of(event))
    with pytest.raises(InvalidCallError) as caught:
        Call.parse_json(secret)
    assert secret not in str(caught.value)
    call = Call.parse({"path": "/", "query": {"a": secret}, "headers": {"X-Token": secret}, "method": "DELETE"})
    assert secret not in repr(call)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        *((text, "JSON") for text in ("", "[" * 100_000, '"\\ud800', '{"path": "/"} and more', "1" * 5000)),
        ('{"path": "/", "path": "/b"}', "each name once"),
        ('{"path": "/", "method": "PUT", "body": {"a": 1, "a": 2}}', "each name once"),
        *(
            (f'{{"path": "/", "method": "PUT", "body": {number}}}', "numbers as text")
            for number in ("12345678901234567890.123456789", "1e999", "1e-99999999999999999999")
        ),
    ],
)
def test_text_that_is_not_json_or_that_parsing_would_silently_change_is_refused(text: str, allowed: str) -> None:
    with pytest.raises(InvalidCallError) as caught:
        Call.parse_json(text)

    assert caught.value.allowed == allowed


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_may_have_any_encoding_of_unicode(encoding: str) -> None:
    assert Call.parse_json('{"path": "/é"}'.encode(encoding)).path == "/é"
    assert Call.parse_json("\ufeff" + '{"path": "/é"}').path == "/é"


@pytest.mark.parametrize(
    ("fields", "body", "content_type"),
    [
        ({"body": {"a": 1.10}}, b'{"a":1.1}', "application/json"),
        ({"body": "<a/>"}, b'"<a/>"', "application/json"),
        ({"body": "<a/>", "headers": {"Content-Type": "text/xml"}}, b"<a/>", "text/xml"),
        ({"body": "é", "headers": {"content-type": "text/a; charset=latin-1"}}, b"\xe9", "text/a; charset=latin-1"),
        ({"body": "/w==", "base64": True}, b"\xff", "application/octet-stream"),
        ({"body": b"\xff"}, b"\xff", "application/octet-stream"),
        ({"body": None, "base64": True}, None, ""),
    ],
)
def test_the_content_type_says_how_a_body_is_sent(
    fields: dict[str, Any], body: bytes | None, content_type: str
) -> None:
    call = Call.parse({"path": "/", "method": "PUT", **fields})

    assert (call.body, call.content_type) == (body, content_type)


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"a": [1, {"when": datetime(2026, 1, 15, tzinfo=UTC)}]}, "body.a.1.when", "a Python datetime"),
        ([{"a": 1}, [2], float("nan")], "body.2", "nan"),
        ({("a", "b"): 1}, "body", "an object with a name that is a Python tuple"),
        ({"a": "cut \ud83d"}, "body.a", "text with a lone surrogate"),
        ({"n": 10**5000}, "body.n", "an integer of too many digits"),
    ],
)
def test_the_error_says_where_a_body_is_no_json(body: object, field: str, value: str) -> None:
    error = error_of({"path": "/", "method": "PUT", "body": body})

    assert (error.field, error.value) == (field, value)


def test_a_call_leaves_room_for_the_headers_that_are_added() -> None:
    def event(size: int) -> dict[str, Any]:
        return {"path": "/", "headers": {"X-A": "x" * (size - len("/X-A"))}}

    assert Call.parse(event(7168))
    assert error_of(event(7169)).allowed.startswith("at most 7168 bytes")


def test_segments_may_contain_anything() -> None:
    call = Call.parse({"path": ["orders", "a/b", "c?d#e//"]})

    assert call.target == "/orders/a%2Fb/c%3Fd%23e%2F%2F"
    assert call.path == "/orders/a/b/c?d#e//"


@settings(max_examples=50)
@given(events | json_values)
def test_any_event_is_a_call_to_this_api_or_an_invalid_call(event: object) -> None:
    try:
        call = Call.parse(event)
    except InvalidCallError:
        return
    url = urlsplit(API_URL + call.target)
    assert url.netloc == urlsplit(API_URL).netloc
    assert unquote(url.path, errors="strict") == urlsplit(API_URL).path + call.path
    assert parse_qsl(url.query, keep_blank_values=True, errors="strict") == list(call.query)
    assert call.target.isascii()
    assert not set(call.target) & set(" ;+#\"'<>\\")
