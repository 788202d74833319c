"""The example's backend: the real handler with the tables of the template, and what can go wrong between the two.

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
from moto.core.models import botocore_stubber

from cross_account_access.templates import ACCOUNTS, resolved
from tests.faults.backend import STAGE, Backend, KilledError
from tests.faults.environment import scaled
from tests.support.aws.loopback import Response
from tests.support.aws.sigv4 import Request
from tests.support.lambda_context import LambdaContext
from tests.support.signers import ROLE_ID
from tests.unit.orders.support import ENVIRONMENT, create_tables, load_event, match_resource

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ORDERS, RECORDS = ENVIRONMENT["ORDERS_TABLE"], ENVIRONMENT["IDEMPOTENCY_TABLE"]
_TIMEOUT_SECONDS = scaled(resolved("a")["Resources"]["OrdersFunction"]["Properties"]["Timeout"])

_environment = threading.RLock()

type DynamoDBFault = Callable[..., Any]


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
def deployed() -> Iterator[Backend]:
    """Provide the backend with empty tables."""
    with pytest.MonkeyPatch.context() as patch:
        # The SDK would pause between its own attempts, and all test beds wait for the one environment.
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
        patch.setattr(_handler().logger.registered_handler, "stream", io.StringIO())
        create_tables(_dynamodb())
        yield Backend(respond, ordered)


def respond(request: Request, session_name: str) -> Response:
    """Handle a request that API Gateway has accepted from a session of the executor role."""
    url = urlsplit(request.target)
    path = unquote(url.path).removeprefix(STAGE)
    # API Gateway does not pass on Authorization.
    headers = {name: request.values(name) for name, _ in request.headers if name != "authorization"}
    query = parse_qs(url.query, keep_blank_values=True)
    event = load_event("whoami")
    resource, parameters = match_resource(path)
    event |= {
        "resource": resource,
        "pathParameters": parameters,
        "path": path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "body": request.body.decode() or None,
    }
    event["requestContext"] |= {"path": unquote(url.path), "httpMethod": request.method, "resourcePath": resource}
    event["requestContext"]["identity"] |= {
        "caller": f"{ROLE_ID}:{session_name}",
        "userArn": f"arn:aws:sts::{ACCOUNTS['a']}:assumed-role/executor/{session_name}",
    }
    with _environment:
        try:
            response = _handler().handler(event, LambdaContext(seconds=_TIMEOUT_SECONDS))
        except UserWarning as warning:
            # After a real kill, Powertools could not warn that it has no metrics to publish.
            if isinstance(warning.__context__, KilledError):
                raise warning.__context__ from None
            raise
    return Response(
        response["statusCode"],
        {name: values[-1] for name, values in response["multiValueHeaders"].items()},
        response["body"].encode(),
    )


@contextmanager
def failing(operation: str, table: str, fault: DynamoDBFault) -> Iterator[None]:
    """Let an operation on a table fail for the requests of this thread."""

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
    # botocore calls every handler of this event, even if the first one returns a response: moto must not recognize it.
    request.url = "https://dynamodb.example"
    return AWSResponse(request.url, 400, HTTPHeaders(), _Raw(body.encode()))


def lose_response(event_name: str, request: Any, **kwargs: Any) -> None:
    botocore_stubber(event_name, request, **kwargs)
    raise ReadTimeoutError(endpoint_url=request.url)


def kill(event_name: str, request: Any, **kwargs: Any) -> None:
    raise KilledError


def forget(order_id: str) -> None:
    """Delete the idempotency record of an order, as if it had expired."""
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
