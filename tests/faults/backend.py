"""Account A's backend: the real handler, before tables as the template defines them.

Lambda gives an execution environment one request at a time, and so does this module, which is one environment.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws
from moto.core.models import botocore_stubber

from access.templates import ACCOUNTS, resolved
from tests.faults.speedup import paced
from tests.support.aws.loopback import Request, Response
from tests.unit.orders.conftest import ENVIRONMENT
from tests.unit.orders.support import ROLE_ID, Context, load_event

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

STAGE = "/v1"
ORDERS, RECORDS = ENVIRONMENT["ORDERS_TABLE"], ENVIRONMENT["IDEMPOTENCY_TABLE"]
_TIMEOUT_SECONDS = paced(resolved("a")["Resources"]["OrdersFunction"]["Properties"]["Timeout"])

_environment = threading.RLock()

type DynamoDBFault = Callable[..., Any]


class KilledError(BaseException):
    """Lambda ends the function in the middle of a line; no `except Exception` sees it."""


class _Invocation(Context):
    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return int(_TIMEOUT_SECONDS * 1000)


@functools.cache
def _handler() -> ModuleType:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        return importlib.import_module("orders.handler")


def _dynamodb() -> DynamoDBClient:
    client: DynamoDBClient = _handler().dynamodb
    return client


@contextmanager
def deployed() -> Iterator[None]:
    """Have empty tables, and an AWS in this process that knows DynamoDB and SQS."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        # The SDK would pause between its own attempts, and all worlds wait with it for the one environment.
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
        patch.setattr(_handler().logger.registered_handler, "stream", io.StringIO())
        resources = resolved("a")["Resources"]
        for name, resource in ((ORDERS, "OrdersTable"), (RECORDS, "IdempotencyTable")):
            properties = resources[resource]["Properties"]
            kept = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
            _dynamodb().create_table(TableName=name, **{key: properties[key] for key in kept if key in properties})
        yield


def answer(request: Request, session_name: str) -> Response:
    """Handle a request that API Gateway has let pass, sent by a session of the executor role."""
    url = urlsplit(request.target)
    path = unquote(url.path).removeprefix(STAGE)
    # API Gateway keeps Authorization for itself.
    headers = {name: request.headers.get_all(name, []) for name in set(request.headers) - {"Authorization"}}
    query = parse_qs(url.query, keep_blank_values=True)
    event = load_event("whoami")
    event |= {
        "path": path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "body": request.body.decode() or None,
    }
    event["requestContext"] |= {"path": unquote(url.path), "httpMethod": request.method, "resourcePath": path}
    event["requestContext"]["identity"] |= {
        "caller": f"{ROLE_ID}:{session_name}",
        "userArn": f"arn:aws:sts::{ACCOUNTS['a']}:assumed-role/executor/{session_name}",
    }
    with _environment:
        try:
            answer = _handler().handler(event, _Invocation())
        except UserWarning as warning:
            # After a real kill, Powertools would not be there to notice that it has no metrics to publish.
            if isinstance(warning.__context__, KilledError):
                raise warning.__context__ from None
            raise
    return Response(
        answer["statusCode"],
        {name: values[-1] for name, values in answer["multiValueHeaders"].items()},
        answer["body"].encode(),
    )


@contextmanager
def failing(operation: str, table: str, fault: DynamoDBFault) -> Iterator[None]:
    """Have an operation on a table go wrong, for what this thread asks of the backend."""

    def before_send(event_name: str, request: Any, **kwargs: Any) -> Any:
        if json.loads(request.body)["TableName"] != table:
            return None
        return fault(event_name, request, **kwargs)

    with _environment:
        event = f"before-send.dynamodb.{operation}"
        _dynamodb().meta.events.register_first(event, before_send)
        try:
            yield
        finally:
            _dynamodb().meta.events.unregister(event, before_send)


def throttle(event_name: str, request: Any, **kwargs: Any) -> AWSResponse:
    body = json.dumps({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"})
    # Every handler of this event is called, whatever the first one returns: moto must not know the request.
    request.url = "https://dynamodb.example"
    return AWSResponse(request.url, 400, HTTPHeaders(), _Raw(body.encode()))


def lose_response(event_name: str, request: Any, **kwargs: Any) -> None:
    botocore_stubber(event_name, request, **kwargs)
    raise ReadTimeoutError(endpoint_url=request.url)


def kill(event_name: str, request: Any, **kwargs: Any) -> None:
    raise KilledError


def forget(order_id: str) -> None:
    """Lose the idempotency record of an order, as its expiry does in the end."""
    with _environment:
        for record in _dynamodb().scan(TableName=RECORDS)["Items"]:
            if order_id in record.get("data", {}).get("S", ""):
                _dynamodb().delete_item(TableName=RECORDS, Key={"id": record["id"]})


def ordered(account: str) -> list[str]:
    """Return the SKU of every order of a consumer account."""
    with _environment:
        pages = (
            _dynamodb()
            .get_paginator("query")
            .paginate(
                TableName=ORDERS,
                KeyConditionExpression="consumer = :account",
                ExpressionAttributeValues={":account": {"S": account}},
            )
        )
        return [item["sku"]["S"] for page in pages for item in page["Items"]]


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
