"""The handler in docs/backend.md works as it is written there."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from cross_account_access.templates import PROJECT
from tests.support.lambda_context import LambdaContext
from tests.support.signers import ARN, ROLE_ID

type Handler = Callable[[dict[str, Any], object], dict[str, Any]]


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Handler:
    monkeypatch.setenv("EXECUTOR_ROLE_IDS", f"{ROLE_ID},")
    [code, *_] = re.findall(r"^```python\n(.*?)^```$", (PROJECT / "docs/backend.md").read_text(), re.M | re.S)
    module: dict[str, Any] = {}
    exec(code, module)  # noqa: S102 - the project's own documentation
    found: Handler = module["handler"]
    return found


def request(resource: str, role_id: str = ROLE_ID) -> dict[str, Any]:
    session = "222222222222-caller"
    return {
        "httpMethod": "GET",
        "resource": resource,
        "headers": {"X-Correlation-Id": "job-1"},
        "requestContext": {
            "requestId": "id",
            "identity": {"caller": f"{role_id}:{session}", "userArn": f"{ARN}/{session}"},
        },
    }


@pytest.mark.parametrize(
    ("event", "status", "expected"),
    [
        (request("/products"), 200, {"products": [], "consumer": "222222222222"}),
        (request("/products/{product_id}"), 404, "product_not_found"),
        (request("/elsewhere"), 404, "route_not_found"),
        (request("/products", role_id="AROAANOTHERROLE12345"), 403, "forbidden"),
        (request("/products", role_id=""), 403, "forbidden"),
    ],
)
def test_it_responds(
    handler: Handler, capsys: pytest.CaptureFixture[str], event: dict[str, Any], status: int, expected: object
) -> None:
    response = handler(event, LambdaContext())
    body = json.loads(response["body"])
    assert response["statusCode"] == status
    assert expected == (body["error"]["code"] if "error" in body else body)
    assert json.loads(capsys.readouterr().out) == {"request_id": "id", "correlation_id": "job-1"}
