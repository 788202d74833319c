"""No event, however odd, sends a request that it should not, or ends the process."""

import base64
import json
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from hypothesis import example, given
from hypothesis import strategies as st

from cross_account_api import errors
from cross_account_api.call import METHODS
from cross_account_lab.judge.gateway import gateway_response
from cross_account_lab.judge.loopback import Response
from cross_account_lab.judge.sigv4 import Request
from tests.wire.attack.profile import attack
from tests.wire.faults.environment import Invocation
from tests.wire.faults.testbed import TestBed

STATUSES = (200, 200, 200, 200, 404, 409, 429, 503)
"""What the API answers; never the 400 with which the server refuses a malformed request."""

OWN_HEADERS = {
    *("accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "idempotency-key"),
    *("user-agent", "x-amz-date", "x-amz-security-token", "x-correlation-id", "x-amz-content-sha256"),
}

nasty = st.sampled_from(
    [
        *("", ".", "..", "/", "//", "/..", "/.", "/%2e%2e/x", "/a/../b", "//evil.example", "https://evil.example/"),
        *("/\\..\\x", "/..;/x", "/a\r\nX-Evil: 1", "a\r\nX-Evil: 1", "a\nb", "a\0b", "\ud800", "/\udfff", "☕"),
        *("\u2028", "\ufeff", "/?a=b", "/#a", "/%", "/%zz", "/ ", " a", "a ", "it's 'x", '"', "/a@b:c", "http://[::1"),
        *("chunked", "text/plain; charset=utf-16", "text/plain; charset=punycode", "text/x; charset=rot13"),
        *("application/json", "multipart/form-data; boundary=a", "x" * 20_000, "/" + "x/" * 5_000, 'a;"' + ";" * 3000),
    ]
)
text = nasty | st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | text
    | st.sampled_from([10**400, -(2**70), 1e308, 5e-324, -0.0, float("nan"), float("inf")])
)


def nested(value: Any, depth: int, as_list: bool) -> Any:
    for _ in range(depth):
        value = [value] if as_list else {"requestPayload": value}
    return value


deep = st.builds(nested, scalars, st.sampled_from([3, 900, 5_000, 100_000]), st.booleans())
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)
paths = st.sampled_from(["/", "/orders", "/a/b", "/é ☕;+%"]) | text | st.lists(text, max_size=3) | values
header_names = st.sampled_from(
    ["X-A", "x-a", "Content-Type", "Host", "Transfer-Encoding", "Content-Length", "X-Amz-Date", "Expect", "TE", "X-A:"]
)
calls = st.fixed_dictionaries(
    {"path": paths},
    optional={
        "method": st.sampled_from(METHODS) | values,
        "query": st.dictionaries(text, scalars | st.lists(scalars, max_size=2), max_size=2) | values,
        "headers": st.dictionaries(header_names | text, text | scalars, max_size=2) | values,
        "body": values | deep | st.binary().map(lambda content: base64.b64encode(content).decode()),
        "base64": st.booleans() | values,
        "idempotency_key": st.just("key-1") | text | values,
    },
)
writes = st.builds(
    lambda call, method: {**call, "method": method, "idempotency_key": "key-1"},
    calls,
    st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
)
events = calls | writes | values | deep | st.builds(lambda call: {"version": "1.0", "requestPayload": call}, calls)
json_text = st.deferred(lambda: events.map(dump))
raw_text = st.sampled_from(
    [
        *('{"path": "/a", "path": "/b"}', '{"path": "/", "query": {"a": 1e-99999999999999999999}}', "[" * 100_000),
        *('\ufeff{"path": "/"}', '{"path": "/", "query": {"a": NaN}}', '{"path":"/\\ud800"}', "null", "1" * 10_000),
        *('{"method":"PUT","path":"/","body":1e999}', '{"method":"PUT","path":"/","body":0e99999999999999999999}'),
    ]
)


def dump(event: Any) -> str:
    try:
        return json.dumps(event)
    except (ValueError, RecursionError):
        return "[" * 100_000


def answer(received: Request) -> Response:
    status = STATUSES[zlib.crc32(f"{received.method} {received.target}".encode()) % len(STATUSES)]
    return gateway_response(status, {"target": received.target})


class Attacked:
    """The function, with signatures and requests checked by an API on loopback that reads HTTP strictly."""

    def __init__(self, bed: TestBed, *, keys_ignored: bool) -> None:
        bed.world.gateway.answer = answer
        self.bed = bed
        self.keys_ignored = keys_ignored

    @property
    def requests(self) -> list[Request]:
        return self.bed.world.api.requests

    def invoke(self, event: object) -> Invocation:
        """Return the outcome; raising anything but a `CallError` is a finding."""
        self.requests.clear()
        self.bed.queues.failed.clear()
        self.bed.world.gateway.verdicts.clear()
        outcome = self.bed.invoke(event)
        assert self.bed.world.gateway.refused == []
        for error in {outcome.error, *(line.get("error", "") for line in outcome.logs)} - {""}:
            assert issubclass(getattr(errors, error), errors.CallError)
        assert {line.get("status", 404) for line in outcome.logs} <= set(STATUSES)
        assert sum(line.get("attempts", 0) for line in outcome.logs) == len(self.requests)
        assert len(outcome.message.encode()) < 5_000
        if not outcome.error:
            assert len(LambdaMarshaller().marshal_response(outcome.result)[0].encode()) <= 6 * 1024 * 1024
        return outcome


@pytest.fixture(params=[False, True], ids=["keys", "keys ignored"])
def attacked(request: pytest.FixtureRequest, new_bed: Callable[..., TestBed]) -> Attacked:
    return Attacked(new_bed(ignores_keys=request.param), keys_ignored=request.param)


def check(received: Request, call: dict[str, Any], *, keys_ignored: bool) -> None:
    """Check that a request is the one that a call describes, and no other."""
    path, _, query = received.target.partition("?")
    assert received.method == call.get("method", "GET")
    assert path.startswith("/v1/")
    assert received.target.isascii()
    assert received.target.isprintable()
    assert not set(received.target) & set(" \"#'();<>[\\]^`{|}")
    plain = unquote_to_bytes(path).decode()
    assert not {".", ".."} & set(plain.split("/"))
    wanted = call["path"]
    assert plain == "/v1" + ("/" + "/".join(wanted) if isinstance(wanted, list) else wanted)
    assert query.count("&") + bool(query) == sum(
        len(value) if isinstance(value, list) else 1 for value in (call.get("query") or {}).values()
    )
    given = {name.lower(): value for name, value in (call.get("headers") or {}).items()}
    names = [name for name, _ in received.headers]
    assert len(set(names)) == len(names)
    assert set(names) <= OWN_HEADERS | set(given)
    assert {name: received.values(name) for name in given} == {name: [value] for name, value in given.items()}
    key = call.get("idempotency_key")
    assert received.values("idempotency-key") == ([] if key is None else [key])
    assert keys_ignored or key is not None or received.method not in ("POST", "PATCH")
    check_body(received.body, call, given.get("content-type", "application/json"))


def check_body(body: bytes, call: dict[str, Any], content_type: str) -> None:
    value = call.get("body")
    if value is None:
        assert body == b""
    elif call.get("base64"):
        assert body == base64.b64decode(value)
    elif "json" in content_type:
        assert dump(json.loads(body)) == dump(value)
    elif "charset" not in content_type:
        assert body.decode() == value


def call_of(event: Any) -> dict[str, Any]:
    while "requestPayload" in event:
        event = event["requestPayload"]
    assert isinstance(event, dict)
    return event


@attack
@given(events)
@example({"path": "/", "method": "PUT", "body": "é" * 500_000, "headers": {"Content-Type": "a/b; charset=punycode"}})
@example({"path": "/", "method": "PUT", "body": "x", "headers": {"Content-Type": 'a/b;"' + ";" * 9_000}})
@example({"path": ["a", "../../admin"]})
@example({"Records": [{"eventSource": "aws:sqs"}]})
def test_a_direct_event(attacked: Attacked, event: Any) -> None:
    outcome = attacked.invoke(event)

    received = attacked.requests
    assert len({(request.target, request.body) for request in received}) <= 1
    for request in received:
        check(request, call_of(event), keys_ignored=attacked.keys_ignored)
    if outcome.error == "InvalidCallError":
        assert received == []
    if not outcome.error:
        assert outcome.result["status"] == 200
        expected = None if received[-1].method == "HEAD" else {"target": received[-1].target}
        assert outcome.result["body"] == expected


@attack
@given(st.lists(json_text | raw_text | text, min_size=1, max_size=6))
def test_a_batch(attacked: Attacked, bodies: list[str]) -> None:
    bodies = [body.encode(errors="replace").decode() for body in bodies]
    records = {f"message-{number}": body for number, body in enumerate(bodies)}

    outcome = attacked.invoke(
        {"Records": [{"messageId": name, "body": body, "eventSource": "aws:sqs"} for name, body in records.items()]}
    )

    assert outcome.result.keys() == {"batchItemFailures"}
    by_message: dict[str, list[Request]] = {}
    for request in attacked.requests:
        [identifier] = request.values("x-correlation-id")
        by_message.setdefault(identifier, []).append(request)
        call = call_of(json.loads(records[identifier].removeprefix("\ufeff")))
        check(request, call, keys_ignored=attacked.keys_ignored)
    done = [name for name, received in by_message.items() if answer(received[-1]).status == 200]
    returned = [failure["itemIdentifier"] for failure in outcome.result["batchItemFailures"]]
    ends = Counter(records[name] for name in returned + done)
    ends += Counter(message.body for message in attacked.bed.queues.failed)
    assert ends == Counter(bodies), "a message was lost, or has two ends"
