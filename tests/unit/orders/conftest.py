"""The handler as Lambda loads it, with the tables of the template."""

import importlib
import io
import json
from collections.abc import Callable, Iterator
from threading import Lock
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws
from moto.core.models import botocore_stubber
from mypy_boto3_dynamodb import DynamoDBClient

from tests.unit.orders.support import ENVIRONMENT, Api, Faults, create_tables


@pytest.fixture(scope="session")
def orders() -> ModuleType:
    """The handler's module, loaded once, as in an execution environment."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        return importlib.import_module("orders.handler")


@pytest.fixture
def dynamodb(orders: ModuleType) -> Iterator[DynamoDBClient]:
    """The handler's own client, with empty tables."""
    client: DynamoDBClient = orders.dynamodb
    lock = Lock()

    # DynamoDB checks a condition and writes in one step; moto does not.
    def in_one_step(event_name: str, request: Any, **kwargs: Any) -> Any:
        with lock:
            return botocore_stubber(event_name, request, **kwargs)

    client.meta.events.register("before-send.dynamodb", in_one_step)
    with mock_aws():
        create_tables(client)
        yield client
    client.meta.events.unregister("before-send.dynamodb", in_one_step)


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
def logged(log: io.StringIO) -> Callable[[], list[dict[str, Any]]]:
    return lambda: [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.fixture
def counted(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, float]]:
    """Sums up the metrics written since the last call."""

    def read() -> dict[str, float]:
        sums: dict[str, float] = {}
        for line in capsys.readouterr().out.splitlines():
            metrics = json.loads(line)
            for directive in metrics["_aws"]["CloudWatchMetrics"]:
                assert directive["Namespace"] == "CrossAccountApi"
                assert directive["Dimensions"] == [["service"]]
                for metric in directive["Metrics"]:
                    sums[metric["Name"]] = sums.get(metric["Name"], 0) + sum(metrics[metric["Name"]])
        return sums

    return read


@pytest.fixture
def faults(dynamodb: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    faults = Faults(dynamodb)
    yield faults
    faults.clear()
