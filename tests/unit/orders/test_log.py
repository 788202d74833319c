"""Every line names the consumer and the request, and no line contains a secret."""

import io
import runpy
from types import ModuleType
from typing import Any

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from tests.unit.orders.support import ENVIRONMENT, Api, Faults, Logged, load_event, raising

SECRETS = ("EXAMPLE-SESSION-TOKEN", "EXAMPLE-SIGNATURE", "ASIAEXAMPLECONSUMERB", "SECRET-SKU")


@pytest.fixture
def event_with_secrets() -> dict[str, Any]:
    event = load_event("create-order")
    event["headers"]["Authorization"] = "AWS4-HMAC-SHA256 Signature=EXAMPLE-SIGNATURE"
    event["multiValueHeaders"]["Authorization"] = [event["headers"]["Authorization"]]
    event["body"] = '{"sku": "SECRET-SKU"}'
    return event


def test_one_line_describes_a_request(api: Api, logged: Logged) -> None:
    event = load_event("get-order")
    api.send(event)
    (line,) = logged()
    assert line["duration_ms"] > 0
    assert line == line | {
        "level": "INFO",
        "service": "orders",
        "message": "request",
        "route": "GET /orders/{order_id}",
        "status": 404,
        "error_code": "order_not_found",
        "consumer_account": "222222222222",
        "session_name": "222222222222-orders-caller",
        "request_id": event["requestContext"]["requestId"],
        "correlation_id": "nightly-orders-3",
        "user_arn": event["requestContext"]["identity"]["userArn"],
        "function_name": "OrdersFunction",
    }


def test_a_refused_caller_is_named_and_nothing_stays_from_one_request_to_the_next(api: Api, logged: Logged) -> None:
    arn = "arn:aws:iam::111111111111:user/admin"
    api.send(load_event("other-consumer"))
    api("GET", "/whoami", identity={"caller": "AIDAEXAMPLEUSERID1234", "userArn": arn})
    api("GET", "/whoami")
    refused, served = logged()[1:]
    assert (refused["status"], refused["error_code"], refused["user_arn"]) == (403, "forbidden", arn)
    assert not {"consumer_account", "session_name"} & set(refused)
    assert "error_code" not in served


def test_no_metrics_are_written_when_they_are_off(
    orders: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    for _ in range(150):
        orders.count("OrderCreated")
    orders.metrics.clear_metrics()
    assert "_aws" not in capsys.readouterr().out


def test_no_secret_is_logged(
    api: Api, log: io.StringIO, capsys: pytest.CaptureFixture[str], faults: Faults, event_with_secrets: dict[str, Any]
) -> None:
    api.send(event_with_secrets)
    api.send(event_with_secrets | {"body": '{"sku": "SECRET-SKU", "x": 1}'})
    faults["PutItem", "idempotency"] = raising(RuntimeError())
    api.send(event_with_secrets)
    output = log.getvalue() + "".join(capsys.readouterr())
    assert "RuntimeError" in output
    assert not [secret for secret in SECRETS if secret in output]


@pytest.mark.filterwarnings("ignore:POWERTOOLS_DEV")
def test_no_setting_makes_it_log_events(
    orders: ModuleType,
    dynamodb: DynamoDBClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    event_with_secrets: dict[str, Any],
) -> None:
    talkative = {
        "POWERTOOLS_SERVICE_NAME": "talkative",
        "POWERTOOLS_LOG_LEVEL": "DEBUG",
        "POWERTOOLS_LOGGER_LOG_EVENT": "true",
        "POWERTOOLS_DEV": "true",
        "POWERTOOLS_METRICS_DISABLED": "false",
    }
    for name, value in (ENVIRONMENT | talkative).items():
        monkeypatch.setenv(name, value)
    handler = runpy.run_path(str(orders.__file__))["handler"]
    assert Api(handler).send(event_with_secrets).status == 201
    output = "".join(capsys.readouterr())
    assert '"service":"talkative"' in output
    assert not [secret for secret in SECRETS if secret in output]
