"""The Lambda function as its triggers, its log and its metrics see it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import ANY

import pytest

from cross_account_access.templates import source
from cross_account_api import Client
from cross_account_api.errors import (
    AssumeRoleError,
    CallError,
    DeadlineError,
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
    FakeSts,
    FakeTime,
    Reply,
    json_reply,
    refusal,
    unreachable,
)
from tests.support.lambda_context import LambdaContext

EVENTS = Path(__file__).parents[3] / "events"
CONTEXT = LambdaContext(seconds=3600, function_name="orders-caller-CallerFunction")

type Output = Callable[[], tuple[list[dict[str, Any]], dict[str, Any]]]


@pytest.fixture
def output(function: ModuleType, capsys: pytest.CaptureFixture[str]) -> Output:
    """What the function has written since this was last asked: log lines, and metrics by name."""

    def read() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        metrics: dict[str, Any] = {}
        for line in lines:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Namespace"] == "CrossAccountApi"
                assert directive["Dimensions"] == [["service"]]
                assert line["service"] == function.metrics.service
                metrics |= {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}
        return [line for line in lines if "_aws" not in line], metrics

    return read


@pytest.fixture
def fake_time(function: ModuleType, clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    client = function.create_client(clock=clock)
    monkeypatch.setattr(function, "client", lambda: client)
    monkeypatch.setattr(function, "monotonic", clock.monotonic)


def message(identifier: str, body: str) -> dict[str, Any]:
    return {"messageId": identifier, "body": body, "eventSource": "aws:sqs"}


def test_a_call_and_what_is_written_about_it(function: ModuleType, fake_api: FakeApi, output: Output) -> None:
    fake_api.rest = json_reply(201, {"order_id": "1"})
    event = {"method": "POST", "path": "/orders", "query": {"a": "b"}, "body": {}, "idempotency_key": "key-1"}

    answer = function.handler(event, CONTEXT)

    assert json.loads(json.dumps(answer)) == {
        "status": 201,
        "headers": {"x-amzn-requestid": REQUEST_ID, "content-type": "application/json"},
        "body": {"order_id": "1"},
        "attempts": 1,
        "request_id": REQUEST_ID,
    }
    assert fake_api.requests[0].headers["X-Correlation-Id"] == CONTEXT.aws_request_id
    [line], metrics = output()
    assert line.pop("duration_ms") >= 0
    assert {name: line.get(name) for name in line if name not in ("timestamp", "location", "cold_start")} == {
        "level": "INFO",
        "message": "call succeeded",
        "service": function.metrics.service,
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


def test_a_failed_call_raises_its_error_and_is_told(function: ModuleType, fake_api: FakeApi, output: Output) -> None:
    fake_api.rest = Reply(404)

    with pytest.raises(NotFoundError):
        function.handler({"path": "/orders/1"}, CONTEXT)

    [line], metrics = output()
    assert (line["level"], line["message"], line["error"], line["status"], line["api_request_id"]) == (
        "ERROR",
        "call failed",
        "NotFoundError",
        404,
        REQUEST_ID,
    )
    assert line["reason"] == (
        f"The API answered 404 (request id {REQUEST_ID}). Account B: check the path and the ids in it."
    )
    assert "exception" not in line
    assert set(metrics) == {"CallFailed", "CallAttempts", "CallDuration"}
    assert metrics["CallFailed"] == [1]


def test_a_body_is_no_larger_than_lambda_takes(function: ModuleType, fake_api: FakeApi) -> None:
    with pytest.raises(InvalidCallError, match="at most 6291456 bytes"):
        function.handler({"method": "PUT", "path": "/", "body": "x" * 6_291_455}, CONTEXT)

    assert fake_api.requests == []


@pytest.mark.parametrize("event", [None, "text", [], {}, {"Records": []}, {"Records": [{"eventSource": "aws:sns"}]}])
def test_a_bad_call_is_told_before_anything_is_sent(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts, output: Output, event: object
) -> None:
    with pytest.raises(InvalidCallError):
        function.handler(event, CONTEXT)

    [line], metrics = output()
    assert line["error"] == "InvalidCallError"
    assert line["attempts"] == 0
    assert metrics["CallFailed"] == [1]
    assert fake_api.requests == []
    assert sts.requests == []


def test_retries_and_throttles_are_counted(
    function: ModuleType,
    client: Client,
    fake_api: FakeApi,
    clock: FakeTime,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(function, "client", lambda: client)
    monkeypatch.setattr(function, "monotonic", clock.monotonic)
    fake_api.script = [Reply(429), Reply(500), Reply(429)]

    assert function.handler({"path": "/"}, CONTEXT)["attempts"] == 4

    _, metrics = output()
    assert metrics["CallAttempts"] == [4]
    assert metrics["CallRetried"] == [3]
    assert metrics["CallThrottled"] == [2]


def test_the_error_comes_before_lambda_ends_the_function(
    function: ModuleType,
    client: Client,
    fake_api: FakeApi,
    clock: FakeTime,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(function, "client", lambda: client)
    monkeypatch.setattr(function, "monotonic", clock.monotonic)
    fake_api.rest = Reply(429, headers={"Retry-After": "5"})
    start = clock.now

    with pytest.raises(DeadlineError) as caught:
        function.handler({"path": "/"}, LambdaContext(seconds=20))

    assert isinstance(caught.value.__cause__, ThrottledError)
    assert clock.now - start <= 17
    _, metrics = output()
    assert metrics["CallThrottled"] == metrics["CallAttempts"]


def test_one_session_serves_all_invocations_until_it_is_refused(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts
) -> None:
    for _ in range(3):
        function.handler({"path": "/"}, CONTEXT)
    assert len(sts.requests) == 1

    fake_api.script = [refusal("ExpiredTokenException")]
    assert function.handler({"path": "/"}, CONTEXT)["attempts"] == 2
    assert len(sts.requests) == 2


def test_a_role_that_cannot_be_assumed_is_counted_once(function: ModuleType, sts: FakeSts, output: Output) -> None:
    sts.failure = (403, "AccessDenied", "no")

    with pytest.raises(AssumeRoleError):
        function.handler({"path": "/"}, CONTEXT)
    _, metrics = output()
    assert metrics["AssumeRoleFailed"] == [1]

    with pytest.raises(InvalidCallError):
        function.handler({}, CONTEXT)
    _, metrics = output()
    assert "AssumeRoleFailed" not in metrics


def test_wrong_settings_are_told_by_the_call(
    function: ModuleType, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_URL", "ftp://example.com")

    with pytest.raises(SettingsError, match="API_URL"):
        function.handler({"path": "/"}, CONTEXT)

    [line], metrics = output()
    assert line["error"] == "SettingsError"
    assert metrics["CallFailed"] == [1]


def test_an_error_of_our_own_has_its_traceback_in_the_log(
    function: ModuleType, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "client", lambda: None)

    with pytest.raises(AttributeError):
        function.handler({"path": "/"}, CONTEXT)

    [line], metrics = output()
    assert line["error"] == line["exception_name"] == "AttributeError"
    assert "send" in line["exception"]
    assert metrics["CallFailed"] == [1]


def test_only_messages_that_another_delivery_may_help_are_delivered_again(
    function: ModuleType,
    client: Client,
    fake_api: FakeApi,
    sts: FakeSts,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statuses = {"/missing": 404, "/down": 503}
    fake_api.answer = lambda request: Reply(statuses.get(request.url.removeprefix(API_URL), 200))
    monkeypatch.setattr(function, "client", lambda: client)
    event = {
        "Records": [
            message("good-1", '{"path": "/1"}'),
            message("not-json", "tea, please"),
            message("missing", '{"path": "/missing"}'),
            message("down", '{"path": "/down"}'),
            message("unknown-field", '{"path": "/2", "retries": 5}'),
            message("good-2", '{"requestPayload": {"path": "/3"}}'),
        ]
    }

    answer = function.handler(event, CONTEXT)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "down"}]}
    assert [
        (parked["MessageBody"], {name: value["StringValue"] for name, value in parked["MessageAttributes"].items()})
        for parked in sts.parked
    ] == [
        ("tea, please", {"ErrorCode": "InvalidCallError", "ErrorMessage": ANY, "Uncertain": "false"}),
        ('{"path": "/missing"}', {"ErrorCode": "NotFoundError", "ErrorMessage": ANY, "Uncertain": "false"}),
        ('{"path": "/2", "retries": 5}', {"ErrorCode": "InvalidCallError", "ErrorMessage": ANY, "Uncertain": "false"}),
    ]
    lines, metrics = output()
    assert [(line["correlation_id"], line.get("path"), line.get("error")) for line in lines] == [
        ("good-1", "/1", None),
        ("not-json", None, "InvalidCallError"),
        ("missing", "/missing", "NotFoundError"),
        ("down", "/down", "ServerError"),
        ("unknown-field", None, "InvalidCallError"),
        ("good-2", "/3", None),
    ]
    assert metrics["CallSucceeded"] == [1, 1]
    assert metrics["CallFailed"] == [1, 1, 1, 1]
    assert {str(request.url)[-2:]: request.headers["X-Correlation-Id"] for request in fake_api.requests}[
        "/3"
    ] == "good-2"


def test_a_message_that_cannot_be_moved_is_delivered_again(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    sts.queue_is_down = True
    fake_api.rest = Reply(404)
    event = {"Records": [message("1", '{"path": "/1"}'), message("2", '{"path": "/2"}')]}

    assert function.handler(event, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]}


@pytest.mark.parametrize(
    ("reply", "is_parked"), [(Reply(503), True), (unreachable(), True), (unreachable(may_have_arrived=False), False)]
)
def test_without_keys_a_queued_call_that_may_have_arrived_is_parked_as_uncertain(
    function: ModuleType,
    environment: dict[str, str],
    fake_api: FakeApi,
    sts: FakeSts,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply | Exception,
    is_parked: bool,
) -> None:
    monkeypatch.setenv("API_IGNORES_IDEMPOTENCY_KEYS", "true")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    fake_api.rest = reply
    body = '{"method": "POST", "path": "/payments", "body": {}}'

    answer = function.handler({"Records": [message("1", body)]}, CONTEXT)

    assert answer == {"batchItemFailures": [] if is_parked else [{"itemIdentifier": "1"}]}
    assert [
        (parked["MessageBody"], parked["MessageAttributes"]["Uncertain"]["StringValue"]) for parked in sts.parked
    ] == ([(body, "true")] if is_parked else [])
    assert len(fake_api.requests) == 1 or not is_parked


SCHEDULED = {"method": "POST", "path": "/payments", "body": {"a": 1}}


@pytest.mark.parametrize(
    ("reply", "keys_ignored", "is_parked"),
    [
        (Reply(503), True, True),
        (unreachable(), True, True),
        (unreachable(), False, False),
        (unreachable(may_have_arrived=False), True, False),
        (Reply(404), True, False),
    ],
)
def test_a_scheduled_call_that_may_have_arrived_is_parked_as_uncertain(
    function: ModuleType,
    fake_api: FakeApi,
    sts: FakeSts,
    output: Output,
    monkeypatch: pytest.MonkeyPatch,
    reply: Reply | Exception,
    keys_ignored: bool,
    is_parked: bool,
) -> None:
    """Lambda itself would keep it without saying so."""
    monkeypatch.setenv("API_IGNORES_IDEMPOTENCY_KEYS", str(keys_ignored).lower())
    monkeypatch.setattr(time, "sleep", lambda _: None)
    fake_api.rest = reply
    call = SCHEDULED | {"idempotency_key": f"eu-west-1/{function.metrics.service}/2026-01-15T08:00:00Z"}

    if is_parked:
        assert function.handler(call, CONTEXT) == {}
    else:
        with pytest.raises(CallError):
            function.handler(call, CONTEXT)

    assert [
        (json.loads(parked["MessageBody"]), parked["MessageAttributes"]["Uncertain"]["StringValue"])
        for parked in sts.parked
    ] == ([(call, "true")] if is_parked else [])
    [line], metrics = output()
    assert (line["message"], metrics["CallFailed"]) == ("call failed", [1])


def test_a_direct_call_that_may_have_arrived_is_told_to_who_waits_for_it(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_IGNORES_IDEMPOTENCY_KEYS", "true")
    fake_api.rest = Reply(503)

    for call in (SCHEDULED, SCHEDULED | {"idempotency_key": "eu-west-1/another-stack/7"}):
        with pytest.raises(CallError):
            function.handler(call, CONTEXT)

    assert sts.parked == []


def test_a_scheduled_call_that_cannot_be_parked_is_kept_by_lambda(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_IGNORES_IDEMPOTENCY_KEYS", "true")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    sts.queue_is_down = True
    fake_api.rest = Reply(503)

    with pytest.raises(CallError):
        function.handler(SCHEDULED | {"idempotency_key": f"eu-west-1/{function.metrics.service}/1"}, CONTEXT)


def test_the_schedule_marks_its_calls_by_their_key() -> None:
    properties = source("b")["Resources"]["CallerFunction"]["Properties"]

    assert '"idempotency_key":"${AWS::Region}/${AWS::StackName}/' in str(properties["Events"]["Schedule"])
    assert properties["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


def test_a_message_that_the_web_acl_stopped_is_parked(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts, output: Output
) -> None:
    fake_api.rest = Reply(202, b"", {"x-amzn-waf-action": "challenge"})

    assert function.handler({"Records": [message("1", '{"path": "/1"}')]}, CONTEXT) == {"batchItemFailures": []}

    assert [parked["MessageAttributes"]["ErrorCode"]["StringValue"] for parked in sts.parked] == ["ForbiddenError"]
    [line], _ = output()
    assert (line["message"], line["status"]) == ("call failed", 202)
    assert "web ACL" in line["reason"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, b"\xff" + b"x" * 4_800_000, {"Content-Type": "application/pdf"}), ResponseTooLargeError),
        (Reply(200, b'"' + b"\\u00e9" * 3_200_000 + b'"', {"Content-Type": "text/plain"}), ResponseTooLargeError),
        (Reply(200, b'{"name":"cut \\ud83d"}', {"Content-Type": "application/json"}), InvalidResponseError),
        (Reply(200, b"[1e999]", {"Content-Type": "application/json"}), InvalidResponseError),
        (
            Reply(200, b"[" + b'{"a":1,"b":2},' * 392_000 + b"0]", {"Content-Type": "application/json"}),
            ResponseTooLargeError,
        ),
    ],
)
@pytest.mark.usefixtures("fake_time")
def test_a_response_that_lambda_cannot_return_is_no_success(
    function: ModuleType, fake_api: FakeApi, output: Output, reply: Reply, error: type[CallError]
) -> None:
    fake_api.rest = reply

    with pytest.raises(CallError) as caught:
        function.handler({"path": "/"}, LambdaContext())

    assert error in (type(caught.value), type(caught.value.__cause__))
    _, metrics = output()
    assert "CallSucceeded" not in metrics


def test_the_calls_of_a_batch_are_made_side_by_side_with_one_session(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts
) -> None:
    together = threading.Barrier(10)
    send = fake_api.send

    def wait_for_all(request: Request, timeout: Timeout) -> HttpResponse:
        together.wait(timeout=120)
        return send(request, timeout)

    fake_api.send = wait_for_all  # type: ignore[method-assign]
    sts.delay = 0.05
    event = {"Records": [message(str(number), '{"path": "/"}') for number in range(10)]}

    assert function.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert len(sts.requests) == 1


def test_more_than_a_hundred_calls_are_all_counted(
    function: ModuleType, fake_api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"Records": [message(str(number), '{"path": "/"}') for number in range(150)]}

    function.handler(event, CONTEXT)

    blobs = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert sum(len(blob.get("CallSucceeded", [])) for blob in blobs) == 150


def test_no_metrics_are_written_when_they_are_off(
    function: ModuleType, fake_api: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    event = {"Records": [message(str(number), '{"path": "/"}') for number in range(150)]}

    function.handler(event, CONTEXT)

    assert "_aws" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "record", [None, "text", [], {}, {"messageId": "2"}, {"body": "{}"}, {"messageId": 2, "body": "{}"}]
)
def test_a_malformed_record_is_told_before_anything_is_sent(
    function: ModuleType, fake_api: FakeApi, sts: FakeSts, record: object
) -> None:
    with pytest.raises(InvalidCallError):
        function.handler({"Records": [message("1", '{"path": "/"}'), record]}, CONTEXT)

    assert fake_api.requests == []
    assert sts.parked == []


def test_wrong_settings_lose_no_message(function: ModuleType, sts: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_URL", "ftp://example.com")
    event = {"Records": [message("1", '{"path": "/"}'), message("2", "tea, please")]}

    assert function.handler(event, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]}
    assert sts.parked == []


@pytest.mark.parametrize("identifier", ["a\r\nX-Evil: 1", "☕", ""])
def test_an_odd_message_id_is_no_header(function: ModuleType, fake_api: FakeApi, identifier: str) -> None:
    function.handler({"Records": [message(identifier, '{"path": "/"}')]}, CONTEXT)

    [request] = fake_api.requests
    assert "X-Correlation-Id" not in request.headers


def test_one_deadline_holds_for_a_whole_batch(function: ModuleType, fake_api: FakeApi) -> None:
    event = {"Records": [message(str(number), '{"path": "/"}') for number in range(3)]}

    answer = function.handler(event, LambdaContext(seconds=2.5))

    assert len(answer["batchItemFailures"]) == 3
    assert fake_api.requests == []


def test_an_environment_is_prepared_while_lambda_starts_it(
    function: ModuleType, sts: FakeSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", CONTEXT.function_name)
    sys.modules.pop("cross_account_caller.handler")
    assert import_module("cross_account_caller.handler").client.cache_info().currsize == 1
    assert sts.requests == []

    monkeypatch.setenv("API_URL", "")
    sys.modules.pop("cross_account_caller.handler")
    assert import_module("cross_account_caller.handler").client.cache_info().currsize == 0


@pytest.mark.usefixtures("fake_time")
def test_no_secret_is_written(
    function: ModuleType,
    fake_api: FakeApi,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
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
    events: list[object] = [
        call,
        {**call, "headers": {"Authorization": secret}},
        {**call, "query": {"token": [secret, None]}},
        {**call, "body": {"password": [secret, float("nan")]}},
        {"Records": [message("1", json.dumps(call)), message("2", secret)]},
    ]
    replies: list[Reply | Exception] = [
        json_reply(200, {"password": secret}),
        Reply(400, secret.encode()),
        Reply(200, secret.encode(), {"Content-Type": "application/json"}),
        unreachable(),
        refusal("AccessDeniedException", f"short\nx-amz-security-token:{secret}"),
    ]

    messages = []
    for fake_api.rest in replies:
        for event in events:
            try:
                function.handler(event, LambdaContext())
            except CallError as error:
                messages.append(str(error))
    written = "".join(capsys.readouterr()) + caplog.text + "".join(messages)

    assert messages
    assert secret not in written
    assert EXTERNAL_ID not in written
    assert fake_api.secrets()
    assert [secret for secret in fake_api.secrets() if secret in written] == []


@pytest.mark.parametrize(
    ("name", "calls", "failed"),
    [
        ("scheduled-call", 1, None),
        ("direct-call", 1, None),
        ("destination-envelope", 1, None),
        ("sqs-batch", 3, 0),
        ("call-sqs-poison", 1, 0),
        ("call-sqs-odd", 1, 0),
    ],
)
def test_the_events(function: ModuleType, fake_api: FakeApi, name: str, calls: int, failed: int | None) -> None:
    text = (EVENTS / f"{name}.json").read_text()

    answer = function.handler(json.loads(text), CONTEXT)

    paths = [request.url.removeprefix(API_URL).partition("?")[0] for request in fake_api.requests]
    assert len(paths) == calls
    assert [path for path in paths if f'"{path}"' not in text.replace("\\", "")] == []
    assert answer["status"] == 200 if failed is None else len(answer["batchItemFailures"]) == failed
