"""No event, however odd, sends a request that it should not, or ends the process."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from hypothesis import example, given
from hypothesis import strategies as st

from cross_account_api.call import METHODS
from cross_account_api.errors import ApiError, CallError, InvalidCallError
from cross_account_lab.judge import sigv4
from cross_account_lab.judge.gateway import Gateway, gateway_response
from cross_account_lab.judge.loopback import Response, Server
from tests.support.fakes import FakeApi, FakeSts, FakeTime
from tests.support.fixtures import environment
from tests.support.lambda_context import LambdaContext
from tests.wire.attack.profile import attack

__all__ = ["environment"]

STATUSES = (200, 200, 200, 200, 404, 409, 429, 503)
"""What the API answers; never the 400 with which the server refuses a malformed request."""

OWN_HEADERS = {
    *("accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "idempotency-key"),
    *("user-agent", "x-amz-date", "x-amz-security-token", "x-correlation-id", "x-amz-content-sha256"),
}

nasty = st.sampled_from(
    [
        *("", ".", "..", "/", "//", "/..", "/.", "/%2e%2e/x", "/a/../b", "//evil.example", "https://evil.example/"),
        *(
            "/\\..\\x",
            "/..;/x",
            "/a\r\nX-Evil: 1",
            "a\r\nX-Evil: 1",
            "a\nb",
            "a\0b",
            "\ud800",
            "/\udfff",
            "☕",
            "/é/☕",
        ),
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


class Attacked:
    """The function, with signatures and requests checked by an API on loopback that reads HTTP strictly."""

    def __init__(self, server: Server, gateway: Gateway, sts: FakeSts, function: ModuleType) -> None:
        self.server = server
        self.gateway = gateway
        self.sts = sts
        self.function = function

    def invoke(self, event: object) -> Any:
        """Return the result, or the `CallError` that was raised; anything else that is raised is a finding."""
        self.server.requests.clear()
        self.sts.sqs.messages.clear()
        result = self._result(event)
        if isinstance(result, CallError):
            assert type(result).__module__ == "cross_account_api.errors"
            assert not isinstance(result, ApiError) or result.status in STATUSES
            assert result.attempts == len(self.server.requests)
            assert len(str(result).encode()) < 5_000
        else:
            assert len(LambdaMarshaller().marshal_response(result)[0].encode()) <= 6 * 1024 * 1024
        return result

    def _result(self, event: object) -> Any:
        try:
            return self.function.handler(event, LambdaContext(seconds=100))
        except CallError as error:
            return error


@pytest.fixture(params=[False, True], ids=["keys", "keys ignored"])
def attacked(
    request: pytest.FixtureRequest, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Attacked]:
    gateway = Gateway({}, lambda received, _: answer(received))
    sts, clock = FakeSts(FakeApi()), FakeTime()
    with Server(gateway) as server:
        gateway.regions[f"127.0.0.1:{server.port}"] = "eu-west-1"
        monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", sts.send)
        variables = {
            "API_URL": f"{server.url}/v1",
            "API_IGNORES_IDEMPOTENCY_KEYS": str(request.param).lower(),
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "POWERTOOLS_METRICS_DISABLED": "true",
            "POWERTOOLS_METRICS_NAMESPACE": "CrossAccountApi",
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
            "POWERTOOLS_SERVICE_NAME": f"attacked-{request.param}",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        function = import_module("cross_account_caller.handler")
        client = function.create_client(clock=clock)
        monkeypatch.setattr(function, "client", lambda: client)
        monkeypatch.setattr(function, "monotonic", clock.monotonic)
        function._sqs.cache_clear()
        session = client._credentials.get_frozen_credentials()
        gateway.keys[session.access_key] = sigv4.Credentials(session.secret_key, session.token)
        yield Attacked(server, gateway, sts, function)
        client.close()
        function._sqs.cache_clear()


def answer(received: sigv4.Request) -> Response:
    status = STATUSES[zlib.crc32(f"{received.method} {received.target}".encode()) % len(STATUSES)]
    return gateway_response(status, {"target": received.target})


def check(received: sigv4.Request, call: dict[str, Any], *, keys_ignored: bool) -> None:
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


def is_ignoring(attacked: Attacked) -> bool:
    return bool(attacked.function.Settings.from_environment().api_ignores_idempotency_keys)


@attack
@given(events)
@example({"path": "/", "method": "PUT", "body": "é" * 500_000, "headers": {"Content-Type": "a/b; charset=punycode"}})
@example({"path": "/", "method": "PUT", "body": "x", "headers": {"Content-Type": 'a/b;"' + ";" * 9_000}})
@example({"path": ["a", "../../admin"]})
@example({"Records": [{"eventSource": "aws:sqs"}]})
def test_a_direct_event(attacked: Attacked, event: Any) -> None:
    result = attacked.invoke(event)

    received = attacked.server.requests
    assert len({(request.target, request.body) for request in received}) <= 1
    for request in received:
        check(request, call_of(event), keys_ignored=is_ignoring(attacked))
    if isinstance(result, InvalidCallError):
        assert received == []
    if not isinstance(result, CallError):
        assert result["status"] == 200
        assert result["body"] == (None if received[-1].method == "HEAD" else {"target": received[-1].target})
    assert set(attacked.gateway.verdicts) <= {"accepted"}, list(attacked.gateway.refusals)


@attack
@given(st.lists(json_text | raw_text | text, min_size=1, max_size=6))
def test_a_batch(attacked: Attacked, bodies: list[str]) -> None:
    bodies = [body.encode(errors="replace").decode() for body in bodies]
    records = [
        {"messageId": f"message-{number}", "body": body, "eventSource": "aws:sqs"} for number, body in enumerate(bodies)
    ]

    result = attacked.invoke({"Records": records})

    assert set(result) == {"batchItemFailures"}
    by_message: dict[str, list[sigv4.Request]] = {}
    for request in attacked.server.requests:
        [identifier] = request.values("x-correlation-id")
        by_message.setdefault(identifier, []).append(request)
    for identifier, received in by_message.items():
        body = next(record["body"] for record in records if record["messageId"] == identifier)
        call = call_of(json.loads(body.removeprefix("\ufeff")))
        for request in received:
            check(request, call, keys_ignored=is_ignoring(attacked))
    returned = [failure["itemIdentifier"] for failure in result["batchItemFailures"]]
    assert len(set(returned)) == len(returned)
    done = [name for name, received in by_message.items() if answer(received[-1]).status == 200]
    assert not set(done) & set(returned)
    ends = Counter(record["body"] for record in records if record["messageId"] in {*returned, *done})
    ends += Counter(message["MessageBody"] for message in attacked.sts.sqs.messages)
    assert ends == Counter(bodies), "a message was lost, or has two ends"
    assert set(attacked.gateway.verdicts) <= {"accepted"}, list(attacked.gateway.refusals)


@attack
@given(
    st.lists(
        st.fixed_dictionaries(
            {"eventSource": st.just("aws:sqs")},
            optional={"messageId": st.just("1") | values, "body": st.just('{"path": "/"}') | text | values},
        )
        | values,
        max_size=4,
    )
)
def test_malformed_records(attacked: Attacked, records: list[Any]) -> None:
    result = attacked.invoke({"Records": [{"eventSource": "aws:sqs", "messageId": "0", "body": ""}, *records]})

    if isinstance(result, CallError):
        assert isinstance(result, InvalidCallError)
        assert attacked.server.requests == []
        assert attacked.sts.sqs.messages == []
    else:
        with suppress(TypeError):
            assert {failure["itemIdentifier"] for failure in result["batchItemFailures"]} <= {
                record["messageId"] for record in records
            }
    assert set(attacked.gateway.verdicts) <= {"accepted"}, list(attacked.gateway.refusals)
