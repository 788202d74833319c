"""The Lambda function as its triggers, its log and its metrics see it."""

import json
import sys
import threading
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from cross_account_api.errors import (
    CallError,
    DeadlineError,
    ForbiddenError,
    InvalidCallError,
    InvalidResponseError,
    NotFoundError,
    ResponseTooLargeError,
    SettingsError,
    ThrottledError,
)
from cross_account_api.transport import HttpResponse, Request, Timeout
from tests.support.fakes import (
    API_URL,
    EXTERNAL_ID,
    REQUEST_ID,
    FakeApi,
    FakeSqs,
    FakeSts,
    FakeTime,
    Reply,
    json_reply,
    refusal,
    unreachable,
)
from tests.support.lambda_context import LambdaContext

CONTEXT = LambdaContext(seconds=3600, function_name="orders-caller-CallerFunction")
WAF = {"x-amzn-waf-action": "challenge"}
SCHEDULED = {"method": "POST", "path": "/payments", "body": {"a": 1}}


@dataclass
class Caller:
    """The function in an execution environment of its own, and what it is connected to."""

    function: ModuleType
    api: FakeApi
    sts: FakeSts
    clock: FakeTime
    capsys: pytest.CaptureFixture[str]

    @property
    def sqs(self) -> FakeSqs:
        return self.sts.sqs

    def __call__(self, event: object, context: LambdaContext = CONTEXT) -> Any:
        return self.function.handler(event, context)

    def output(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return what was written since this was last asked: log lines, and metrics by name."""
        lines = [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]
        metrics: dict[str, Any] = {}
        for line in lines:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Namespace"] == "CrossAccountApi"
                assert directive["Dimensions"] == [["service"]]
                assert line["service"] == self.function.metrics.service
                for metric in directive["Metrics"]:
                    metrics.setdefault(metric["Name"], []).extend(line[metric["Name"]])
        return [line for line in lines if "_aws" not in line], metrics


@pytest.fixture
def caller(
    function: ModuleType,
    fake_api: FakeApi,
    sts: FakeSts,
    clock: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Caller:
    """The client pauses on a clock that only pauses advance, and the SDK not at all."""
    monkeypatch.setattr(function, "Client", partial(function.Client, clock=clock))
    monkeypatch.setattr(function, "monotonic", clock.monotonic)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    return Caller(function, fake_api, sts, clock, capsys)


def batch(*bodies: str) -> dict[str, Any]:
    """Return the event for messages 1, 2 and so on."""
    records = [{"messageId": str(n), "body": body, "eventSource": "aws:sqs"} for n, body in enumerate(bodies, 1)]
    return {"Records": records}


def failures(*identifiers: str) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


# --- One call ---------------------------------------------------------------------------------------------------------


def test_a_call_and_what_is_written_about_it(caller: Caller) -> None:
    caller.api.rest = json_reply(201, {"order_id": "1"})
    event = {"method": "POST", "path": "/orders", "query": {"a": "b"}, "body": {}, "idempotency_key": "key-1"}

    answer = caller(event)

    assert json.loads(json.dumps(answer)) == {
        "status": 201,
        "headers": {"x-amzn-requestid": REQUEST_ID, "content-type": "application/json"},
        "body": {"order_id": "1"},
        "attempts": 1,
        "request_id": REQUEST_ID,
    }
    assert caller.api.requests[0].headers["X-Correlation-Id"] == CONTEXT.aws_request_id
    [line], metrics = caller.output()
    assert line.pop("duration_ms") >= 0
    assert {name: line.get(name) for name in line if name not in ("timestamp", "location", "cold_start")} == {
        "level": "INFO",
        "message": "call succeeded",
        "service": caller.function.metrics.service,
        "function_name": CONTEXT.function_name,
        "function_memory_size": CONTEXT.memory_limit_in_mb,
        "function_arn": CONTEXT.invoked_function_arn,
        "function_request_id": CONTEXT.aws_request_id,
        "correlation_id": CONTEXT.aws_request_id,
        "method": "POST",
        "path": "/orders",
        "idempotency_key": "key-1",
        "status": 201,
        "attempts": 1,
        "api_request_id": REQUEST_ID,
    }
    assert metrics.pop("CallDuration")[0] >= 0
    assert metrics == {"CallSucceeded": [1], "CallAttempts": [1]}


NOT_FOUND = f"The API answered 404 (request id {REQUEST_ID}). Account B: check the path and the ids in it."
NO_CALLS: list[object] = [None, [], {}, {"Records": []}, {"Records": [{"eventSource": "aws:sns"}]}]
NO_RECORDS: list[object] = [None, {"messageId": "2"}, {"messageId": 2, "body": "{}"}]
NO_BATCHES = [{"Records": [*batch('{"path": "/"}')["Records"], record]} for record in NO_RECORDS]


@pytest.mark.parametrize(
    ("event", "api_url", "reply", "attempts", "error", "shown"),
    [
        ({"path": "/1"}, API_URL, Reply(404), 1, NotFoundError, {"status": 404, "reason": NOT_FOUND}),
        (
            {"path": "/"},
            API_URL,
            Reply(202, b"", WAF),
            1,
            ForbiddenError,
            {"status": 202, "api_request_id": REQUEST_ID},
        ),
        ({"path": "/"}, "ftp://example.com", Reply(), 0, SettingsError, {}),
        *((event, API_URL, Reply(), 0, InvalidCallError, {}) for event in [*NO_CALLS, *NO_BATCHES]),
    ],
)
def test_a_failed_call_raises_its_error_and_is_told(
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    event: object,
    api_url: str,
    reply: Reply,
    attempts: int,
    error: type[CallError],
    shown: dict[str, Any],
) -> None:
    caller.api.rest = reply
    monkeypatch.setenv("API_URL", api_url)

    with pytest.raises(error):
        caller(event)

    [line], metrics = caller.output()
    assert (line["level"], line["message"], "exception" in line) == ("ERROR", "call failed", False)
    assert line | {"error": error.__name__, "attempts": attempts, **shown} == line
    assert metrics.pop("CallDuration")[0] >= 0
    assert metrics == {"CallFailed": [1], "CallAttempts": [attempts]}
    assert len(caller.api.requests) == len(caller.sts.requests) == attempts
    assert caller.sqs.messages == []


def test_a_body_is_no_larger_than_lambda_takes(caller: Caller) -> None:
    with pytest.raises(InvalidCallError, match="at most 6291456 bytes"):
        caller({"method": "PUT", "path": "/", "body": "x" * 6_291_455})

    assert caller.api.requests == []


def test_the_error_comes_before_lambda_ends_the_function(caller: Caller) -> None:
    caller.api.rest = Reply(429, headers={"Retry-After": "5"})
    start = caller.clock.now

    with pytest.raises(DeadlineError) as caught:
        caller({"path": "/"}, LambdaContext(seconds=20))

    assert isinstance(caught.value.__cause__, ThrottledError)
    assert "of a batch: make it smaller" in str(caught.value), "in the function's words"
    assert caller.clock.now - start <= 17
    _, metrics = caller.output()
    assert metrics["CallThrottled"] == metrics["CallAttempts"]


def test_an_error_of_our_own_has_its_traceback_in_the_log(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller.function, "client", lambda: None)

    with pytest.raises(AttributeError):
        caller({"path": "/"})

    [line], metrics = caller.output()
    assert line["error"] == line["exception_name"] == "AttributeError"
    assert "send" in line["exception"]
    assert (metrics["CallFailed"], metrics["CallAttempts"]) == ([1], [0])
    assert caller(batch('{"path": "/"}')) == failures("1")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, b"\xff" + b"x" * 4_800_000, {"Content-Type": "application/pdf"}), ResponseTooLargeError),
        (Reply(200, b'{"name":"cut \\ud83d"}', {"Content-Type": "application/json"}), InvalidResponseError),
    ],
)
def test_a_response_that_lambda_cannot_return_is_no_success(
    caller: Caller, reply: Reply, error: type[CallError]
) -> None:
    caller.api.rest = reply

    with pytest.raises(CallError) as caught:
        caller({"path": "/"}, LambdaContext())

    assert error in (type(caught.value), type(caught.value.__cause__))
    _, metrics = caller.output()
    assert "CallSucceeded" not in metrics
    assert metrics["CallAttempts"][0] >= 1


# --- Calls from the queue ---------------------------------------------------------------------------------------------


def test_only_messages_that_another_delivery_may_help_are_delivered_again(caller: Caller) -> None:
    replies = {"/missing": Reply(404), "/down": Reply(503), "/challenged": Reply(202, b"", WAF)}
    caller.api.answer = lambda request: replies.get(request.url.removeprefix(API_URL), Reply(200))
    bodies = {
        '{"path": "/1"}': ("/1", None),
        "tea, please": (None, "InvalidCallError"),
        '{"path": "/missing"}': ("/missing", "NotFoundError"),
        '{"path": "/down"}': ("/down", "ServerError"),
        '{"path": "/2", "retries": 5}': (None, "InvalidCallError"),
        '{"path": "/challenged"}': ("/challenged", "ForbiddenError"),
        '{"requestPayload": {"path": "/3"}}': ("/3", None),
    }

    assert caller(batch(*bodies)) == failures("4")

    assert caller.sqs.parked() == [
        (body, error, "false") for body, (path, error) in bodies.items() if error and path != "/down"
    ]
    lines, metrics = caller.output()
    assert [(line["correlation_id"], line.get("path"), line.get("error")) for line in lines] == [
        (str(number), *seen) for number, seen in enumerate(bodies.values(), 1)
    ]
    assert (metrics["CallSucceeded"], metrics["CallFailed"]) == ([1] * 2, [1] * 5)
    sent = {str(request.url)[-2:]: request.headers["X-Correlation-Id"] for request in caller.api.requests}
    assert sent["/3"] == "7"


@pytest.mark.parametrize(
    "environment_variable", [None, ("API_URL", "ftp://example.com"), ("FAILED_CALL_QUEUE_URL", "")]
)
def test_a_message_that_cannot_be_moved_is_delivered_again(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, environment_variable: tuple[str, str] | None
) -> None:
    caller.sqs.is_down = True
    caller.api.rest = Reply(404)
    if environment_variable:
        monkeypatch.setenv(*environment_variable)

    assert caller(batch('{"path": "/1"}', "tea, please")) == failures("1", "2")
    assert ("call not moved" in str(caller.output())) is (environment_variable is None)


def test_a_scheduled_call_that_cannot_be_parked_is_kept_by_lambda(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_IGNORES_IDEMPOTENCY_KEYS", "true")
    caller.sqs.is_down = True
    caller.api.rest = Reply(503)

    with pytest.raises(CallError):
        caller(SCHEDULED | {"idempotency_key": f"eu-west-1/{caller.function.metrics.service}/1"})


@pytest.mark.parametrize(
    ("how", "reply", "keys_ignored", "end"),
    [
        ("message", Reply(503), True, "parked as uncertain"),
        ("message", unreachable(), False, "delivered again"),
        ("message", unreachable(may_have_arrived=False), True, "delivered again"),
        ("message", Reply(404), True, "parked"),
        ("scheduled", Reply(503), True, "parked as uncertain"),
        ("scheduled", unreachable(), False, "raised"),
        ("scheduled", unreachable(may_have_arrived=False), True, "raised"),
        ("scheduled", Reply(404), True, "raised"),
        ("direct", Reply(503), True, "raised"),
        ("of another stack", Reply(503), True, "raised"),
    ],
)
def test_without_keys_a_call_that_may_have_arrived_is_parked_as_uncertain_unless_somebody_waits(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, how: str, reply: Reply | Exception, keys_ignored: bool, end: str
) -> None:
    """Lambda itself would keep a scheduled call without saying so."""
    monkeypatch.setenv("API_IGNORES_IDEMPOTENCY_KEYS", str(keys_ignored).lower())
    caller.api.rest = reply
    stack = "another-stack" if how == "of another stack" else caller.function.metrics.service
    call = SCHEDULED | {"idempotency_key": "key" if how == "direct" else f"eu-west-1/{stack}/2026-01-15T08:00:00Z"}

    if how == "message":
        ended = caller(batch(json.dumps(call)))
        assert ended == failures(*["1"] * (end == "delivered again"))
    elif end == "raised":
        with pytest.raises(CallError):
            caller(call)
    else:
        assert caller(call) == {}

    parked = [(json.loads(body), uncertain) for body, _, uncertain in caller.sqs.parked()]
    assert parked == {"parked": [(call, "false")], "parked as uncertain": [(call, "true")]}.get(end, [])
    assert len(caller.api.requests) == 1 or "parked" not in end
    [line], metrics = caller.output()
    assert (line["message"], metrics["CallFailed"]) == ("call failed", [1])


def test_the_calls_of_a_batch_are_made_side_by_side_with_one_session(caller: Caller) -> None:
    together = threading.Barrier(10)
    send = caller.api.send

    def wait_for_all(request: Request, timeout: Timeout) -> HttpResponse:
        together.wait(timeout=120)
        return send(request, timeout)

    caller.api.send = wait_for_all  # type: ignore[method-assign]
    caller.sts.delay = 0.05

    assert caller(batch(*['{"path": "/"}'] * 10)) == failures()
    assert len(caller.sts.requests) == 1


def test_more_than_a_hundred_calls_are_all_counted(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    event = batch(*['{"path": "/"}'] * 150)

    caller(event)
    assert sum(caller.output()[1]["CallSucceeded"]) == 150

    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    caller(event)
    assert caller.output()[1] == {}, "nor are any written when they are off"


def test_one_deadline_holds_for_a_whole_batch(caller: Caller) -> None:
    assert caller(batch(*['{"path": "/"}'] * 3), LambdaContext(seconds=2.5)) == failures("1", "2", "3")
    assert caller.api.requests == []


# --- The environment and secrets --------------------------------------------------------------------------------------


def test_an_environment_is_prepared_while_lambda_starts_it(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", CONTEXT.function_name)
    for api_url, prepared in ((API_URL, 1), ("", 0)):
        monkeypatch.setenv("API_URL", api_url)
        sys.modules.pop("cross_account_caller.handler")
        assert import_module("cross_account_caller.handler").client.cache_info().currsize == prepared
    assert caller.sts.requests == []


def test_no_secret_is_written(
    caller: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    secret = "hunter2"
    call = {
        "method": "POST",
        "path": "/orders",
        "query": {"token": secret},
        "headers": {"X-Token": secret},
        "body": {"password": secret},
        "idempotency_key": "key-1",
    }
    events: list[object] = [call, {**call, "headers": {"Authorization": secret}}, batch(json.dumps(call), secret)]
    replies: list[Reply | Exception] = [
        json_reply(200, {"password": secret}),
        Reply(400, secret.encode()),
        Reply(200, secret.encode(), {"Content-Type": "application/json"}),
        unreachable(),
        refusal("AccessDeniedException", f"short\nx-amz-security-token:{secret}"),
    ]

    messages = []
    for caller.api.rest in replies:
        for event in events:
            try:
                caller(event, LambdaContext())
            except CallError as error:
                messages.append(str(error))
    written = "".join(caller.capsys.readouterr()) + caplog.text + "".join(messages)

    assert messages
    assert secret not in written
    assert EXTERNAL_ID not in written
    assert caller.api.secrets()
    assert [secret for secret in caller.api.secrets() if secret in written] == []
