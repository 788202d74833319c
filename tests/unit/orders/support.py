"""API Gateway, Lambda and DynamoDB as the handler sees them."""

import copy
import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse
from moto.core.models import botocore_stubber
from mypy_boto3_dynamodb import DynamoDBClient

from cross_account_access.templates import resolved
from cross_account_lab.judge.loopback import Response as HttpResponse
from tests.support.fakes import aws_response
from tests.support.lambda_context import LambdaContext
from tests.support.signers import OTHER_ROLE_ID, ROLE_ID

type Logged = Callable[[], list[dict[str, Any]]]
type Counted = Callable[[], dict[str, float]]

EVENTS = Path(__file__).parents[3] / "events"
B, C = "222222222222", "333333333333"
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "ORDERS_TABLE": "orders",
    "IDEMPOTENCY_TABLE": "idempotency",
    "EXECUTOR_ROLE_IDS": f"{ROLE_ID},{OTHER_ROLE_ID}",
    "POWERTOOLS_SERVICE_NAME": "orders",
    "POWERTOOLS_METRICS_NAMESPACE": "CrossAccountApi",
}


def create_tables(client: DynamoDBClient) -> None:
    """Create the tables as the template defines them."""
    resources = resolved("a")["Resources"]
    for name, resource in (("orders", "OrdersTable"), ("idempotency", "IdempotencyTable")):
        properties = resources[resource]["Properties"]
        kept = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        client.create_table(TableName=name, **{key: properties[key] for key in kept if key in properties})


@functools.cache
def _resources() -> dict[str, re.Pattern[str]]:
    paths = resolved("a")["Resources"]["OrdersApi"]["Properties"]["Body"]["paths"]
    return {resource: re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", resource)) for resource in paths}


def match_resource(path: str) -> tuple[str, dict[str, str] | None]:
    """Return the resource and the path parameters that API Gateway finds for a path; an unknown path is its own."""
    for resource, pattern in _resources().items():
        if match := pattern.fullmatch(path):
            return resource, match.groupdict() or None
    return path, None


def load_event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"api-{name}.json").read_text())
    return event


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, list[str]]
    body: dict[str, Any]

    @property
    def code(self) -> Any:
        return self.body["error"]["code"]

    @property
    def message(self) -> Any:
        return self.body["error"]["message"]


class Api:
    """Calls the handler as API Gateway does with a request that it has authorized."""

    def __init__(self, handler: Callable[..., dict[str, Any]]) -> None:
        self._handler = handler

    def send(self, event: dict[str, Any]) -> Response:
        response = self._handler(copy.deepcopy(event), LambdaContext(seconds=15, function_name="OrdersFunction"))
        assert response["isBase64Encoded"] is False
        assert response["multiValueHeaders"]["Content-Type"] == ["application/json"]
        return Response(response["statusCode"], response["multiValueHeaders"], json.loads(response["body"]))

    def __call__(
        self,
        method: str,
        path: str,
        body: str | None = None,
        *,
        account: str = B,
        query: dict[str, list[str]] | None = None,
        headers: dict[str, list[str]] | None = None,
        identity: dict[str, str | None] | None = None,
        base64: bool = False,
    ) -> Response:
        event = load_event("whoami")
        resource, parameters = match_resource(path)
        session = f"{account}-orders-caller"
        multi_value_headers = event["multiValueHeaders"] | (headers or {})
        event |= {
            "resource": resource,
            "pathParameters": parameters,
            "path": path,
            "httpMethod": method,
            "headers": {name: values[-1] for name, values in multi_value_headers.items()},
            "multiValueHeaders": multi_value_headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} if query else None,
            "multiValueQueryStringParameters": query,
            "body": body,
            "isBase64Encoded": base64,
        }
        event["requestContext"] |= {"path": f"/v1{path}", "httpMethod": method, "resourcePath": resource}
        event["requestContext"]["identity"] |= {
            "caller": f"{ROLE_ID}:{session}",
            "userArn": f"arn:aws:sts::111111111111:assumed-role/executor/{session}",
        } | (identity or {})
        return self.send(event)

    def order(self, key: str, sku: str = "ABC-1", account: str = B, **more: Any) -> Response:
        body = json.dumps({"sku": sku} | more)
        return self("POST", "/orders", body, account=account, headers={"Idempotency-Key": [key]})

    def orders(self, account: str = B, **query: str) -> Response:
        return self("GET", "/orders", account=account, query={name: [value] for name, value in query.items()})


class Faults:
    """Makes requests to DynamoDB fail, before or after they take effect."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._events = client.meta.events
        self._registered: list[tuple[str, Callable[..., Any]]] = []

    def hook(self, operation: str, act: Callable[..., Any], table: str = "orders") -> None:
        """Call `act` instead of sending; what it returns, if anything, is the response."""

        def before_send(request: Any, **kwargs: Any) -> Any:
            if not _is_to(table, request):
                return None
            response = act()
            if response is not None:
                # botocore calls every handler, even if one returned a response: moto must not recognize the request.
                request.url = "https://dynamodb.example"
            return response

        self._register(operation, before_send)

    def fail(self, operation: str, error: BaseException, table: str = "orders") -> None:
        def act() -> None:
            raise error

        self.hook(operation, act, table)

    def respond(self, operation: str, status: int, code: str, table: str = "orders", times: int | None = None) -> None:
        """Respond to the first `times` such calls with an error; to all of them by default."""
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "internal detail"})

        def act() -> AWSResponse | None:
            nonlocal times
            if times is not None and (times := times - 1) < 0:
                return None
            return aws_response("https://dynamodb.example", HttpResponse(status, {}, body.encode()))

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
