"""API Gateway, Lambda and DynamoDB as the handler sees them."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cross_account_lab.judge.loopback import Response as HttpResponse
from tests.support.fakes import aws_response
from tests.support.lambda_context import LambdaContext
from tests.support.signers import OTHER_ROLE_ID, ROLE_ID

type Logged = Callable[[], list[dict[str, Any]]]
type Counted = Callable[[], Counter[str]]

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
        response = self._handler(event, LambdaContext(seconds=15, function_name="OrdersFunction"))
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
        order = re.fullmatch("/orders/(?P<order_id>[^/]+)", path)
        resource, parameters = ("/orders/{order_id}", order.groupdict()) if order else (path, None)
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


type Act = Callable[[Callable[[], Any]], Any]
"""Is called in the place of a request to DynamoDB, with what would carry it out, and returns the response."""

type Faults = dict[tuple[str, str], Act]
"""By operation and table."""


def responding(status: int, code: str) -> Act:
    """Return an error of DynamoDB."""
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "internal detail"})
    return lambda _: aws_response("https://dynamodb.example", HttpResponse(status, {}, body.encode()))


def raising(error: BaseException) -> Act:
    def act(_: object) -> None:
        raise error

    return act
