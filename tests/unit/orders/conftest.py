"""The handler as Lambda loads it, with the tables of the template."""

import importlib
import io
import json
from collections import Counter
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from moto.core.base_backend import BackendDict
from moto.core.models import botocore_stubber
from mypy_boto3_dynamodb import DynamoDBClient

from cross_account_access.templates import resolved
from cross_account_lab.judge.loopback import Response
from tests.support.fakes import aws_response
from tests.unit.orders.support import ENVIRONMENT, Api, Counted, Faults, Logged


@pytest.fixture(scope="session")
def orders() -> ModuleType:
    """The handler's module, loaded once, as in an execution environment."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        return importlib.import_module("orders.handler")


@pytest.fixture
def faults() -> Faults:
    return {}


@pytest.fixture
def dynamodb(orders: ModuleType, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> DynamoDBClient:
    """The handler's own client, with empty tables."""

    def send(_: object, request: Any) -> Any:
        def carry_out() -> Any:
            found: Any = botocore_stubber.process_request(request)
            status, headers, body = found
            return aws_response(request.url, Response(status, headers, body.encode()))

        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        act = faults.get((operation, json.loads(request.body)["TableName"]))
        return act(carry_out) if act else carry_out()

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", send)
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    BackendDict.reset()
    client: DynamoDBClient = orders.dynamodb
    for name, resource in (("orders", "OrdersTable"), ("idempotency", "IdempotencyTable")):
        properties = resolved("a")["Resources"][resource]["Properties"]
        kept = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        client.create_table(TableName=name, **{key: properties[key] for key in kept if key in properties})
    return client


@pytest.fixture
def api(orders: ModuleType, dynamodb: DynamoDBClient) -> Api:
    return Api(orders.handler)


@pytest.fixture(autouse=True)
def log(orders: ModuleType) -> io.StringIO:
    """The log lines of the handler in this test."""
    stream = io.StringIO()
    orders.logger.registered_handler.setStream(stream)
    return stream


@pytest.fixture
def logged(log: io.StringIO) -> Logged:
    return lambda: [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.fixture
def counted(capsys: pytest.CaptureFixture[str]) -> Counted:
    """Sums up the metrics written since the last call."""

    def read() -> Counter[str]:
        sums: Counter[str] = Counter()
        for line in capsys.readouterr().out.splitlines():
            metrics = json.loads(line)
            for directive in metrics["_aws"]["CloudWatchMetrics"]:
                assert directive["Namespace"] == "CrossAccountApi"
                assert directive["Dimensions"] == [["service"]]
                for metric in directive["Metrics"]:
                    sums[metric["Name"]] += sum(metrics[metric["Name"]])
        return sums

    return read
