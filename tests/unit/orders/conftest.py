"""The handler as Lambda loads it, and the tables that the stack gives it."""

from __future__ import annotations

import importlib
import io
import json
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws
from moto.core.models import botocore_stubber

from tests.unit.orders.support import ROLE_ID, Api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import CreateTableInputTypeDef

TABLES: tuple[CreateTableInputTypeDef, ...] = (
    {
        "TableName": "orders",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": "consumer", "AttributeType": "S"},
            {"AttributeName": "order_id", "AttributeType": "S"},
            {"AttributeName": "created_at", "AttributeType": "S"},
            {"AttributeName": "consumer_status", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "consumer", "KeyType": "HASH"},
            {"AttributeName": "order_id", "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": name,
                "KeySchema": [
                    {"AttributeName": attribute, "KeyType": "HASH"},
                    {"AttributeName": "created_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
            for name, attribute in (("ByCreation", "consumer"), ("ByStatus", "consumer_status"))
        ],
    },
    {
        "TableName": "idempotency",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    },
)

ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "ORDERS_TABLE": "orders",
    "IDEMPOTENCY_TABLE": "idempotency",
    "EXECUTOR_ROLE_ID": ROLE_ID,
    "POWERTOOLS_SERVICE_NAME": "orders",
    "POWERTOOLS_METRICS_NAMESPACE": "CrossAccountApi",
}


@pytest.fixture(scope="session")
def orders() -> ModuleType:
    """The handler's module, loaded once, as in an execution environment."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        return importlib.import_module("orders.handler")


@pytest.fixture
def dynamodb(orders: ModuleType) -> Iterator[DynamoDBClient]:
    """The handler's own client, before empty tables."""
    client: DynamoDBClient = orders.dynamodb
    lock = Lock()

    # DynamoDB checks a condition and writes in one step; moto needs to be told.
    def in_one_step(event_name: str, request: Any, **kwargs: Any) -> Any:
        with lock:
            return botocore_stubber(event_name, request, **kwargs)

    client.meta.events.register("before-send.dynamodb", in_one_step)
    with mock_aws():
        for table in TABLES:
            client.create_table(**table)
        yield client
    client.meta.events.unregister("before-send.dynamodb", in_one_step)


@pytest.fixture
def api(orders: ModuleType, dynamodb: DynamoDBClient) -> Api:
    return Api(orders.handler)


@pytest.fixture(autouse=True)
def log(orders: ModuleType) -> io.StringIO:
    """What the handler logs in this test."""
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


class Faults:
    """Makes calls to DynamoDB go wrong, on the way there or on the way back."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._events = client.meta.events
        self._registered: list[tuple[str, Callable[..., Any]]] = []

    def hook(self, operation: str, act: Callable[..., Any], table: str = "orders") -> None:
        """Call `act` instead of sending; what it returns, if anything, is the response."""

        def before_send(request: Any, **kwargs: Any) -> Any:
            if not _is_to(table, request):
                return None
            answer = act()
            if answer is not None:
                # botocore calls every handler, whatever the first returns: moto must not take the request for its own.
                request.url = "https://dynamodb.example"
            return answer

        self._register(operation, before_send)

    def fail(self, operation: str, error: BaseException, table: str = "orders") -> None:
        def act() -> None:
            raise error

        self.hook(operation, act, table)

    def answer(self, operation: str, status: int, code: str, table: str = "orders") -> None:
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "internal detail"})

        def act() -> AWSResponse:
            return AWSResponse("https://dynamodb.example", status, HTTPHeaders(), _Raw(body.encode()))

        self.hook(operation, act, table)

    def lose_response(self, operation: str, error: BaseException, table: str = "orders") -> None:
        """Let the first such call take effect and its response get lost."""
        lost = False

        def before_send(event_name: str, request: Any, **kwargs: Any) -> None:
            nonlocal lost
            if not lost and _is_to(table, request):
                lost = True
                botocore_stubber(event_name, request, **kwargs)
                raise error

        self._register(operation, before_send)

    def _register(self, operation: str, before_send: Callable[..., Any]) -> None:
        event = f"before-send.dynamodb.{operation}"
        self._events.register_first(event, before_send)
        self._registered.append((event, before_send))

    def clear(self) -> None:
        while self._registered:
            self._events.unregister(*self._registered.pop())


def _is_to(table: str, request: Any) -> bool:
    return bool(json.loads(request.body)["TableName"] == table)


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


@pytest.fixture
def faults(dynamodb: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    faults = Faults(dynamodb)
    yield faults
    faults.clear()
