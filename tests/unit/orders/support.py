"""What stands in for API Gateway and Lambda."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = Path(__file__).parents[3] / "events"
ROLE_ID = "AROAEXECUTOREXAMPLE1"
B, C = "222222222222", "333333333333"


def load_event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"api-{name}.json").read_text())
    return event


class Context(LambdaContext):
    """An invocation that has just begun."""

    def __init__(self) -> None:
        self._function_name = "OrdersFunction"
        self._memory_limit_in_mb = 512
        self._invoked_function_arn = "arn:aws:lambda:eu-west-1:111111111111:function:OrdersFunction"
        self._aws_request_id = "8d0c3a52-0000-4000-8000-000000000000"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 15_000


@dataclass(frozen=True)
class Answer:
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
    """Calls the handler as API Gateway does once it has let a request pass."""

    def __init__(self, handler: Callable[..., dict[str, Any]]) -> None:
        self._handler = handler

    def send(self, event: dict[str, Any]) -> Answer:
        answer = self._handler(copy.deepcopy(event), Context())
        assert answer["isBase64Encoded"] is False
        assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
        return Answer(answer["statusCode"], answer["multiValueHeaders"], json.loads(answer["body"]))

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
    ) -> Answer:
        event = load_event("whoami")
        session = f"{account}-orders-caller"
        multi_value_headers = event["multiValueHeaders"] | (headers or {})
        event |= {
            "path": path,
            "httpMethod": method,
            "headers": {name: values[-1] for name, values in multi_value_headers.items()},
            "multiValueHeaders": multi_value_headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} if query else None,
            "multiValueQueryStringParameters": query,
            "body": body,
            "isBase64Encoded": base64,
        }
        event["requestContext"] |= {"path": f"/v1{path}", "httpMethod": method, "resourcePath": path}
        event["requestContext"]["identity"] |= {
            "caller": f"{ROLE_ID}:{session}",
            "userArn": f"arn:aws:sts::111111111111:assumed-role/executor/{session}",
        } | (identity or {})
        return self.send(event)

    def order(self, key: str, sku: str = "ABC-1", account: str = B, **more: Any) -> Answer:
        body = json.dumps({"sku": sku} | more)
        return self("POST", "/orders", body, account=account, headers={"Idempotency-Key": [key]})

    def orders(self, account: str = B, **query: str) -> Answer:
        return self("GET", "/orders", account=account, query={name: [value] for name, value in query.items()})
