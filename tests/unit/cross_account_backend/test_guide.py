"""The handler with which a project starts, which docs/your-backend.md explains."""

import json
import runpy
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
    found: Handler = runpy.run_path(str(PROJECT / "cross_account_project/files/handler.py"))["handler"]
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
        (request("/whoami"), 200, {"account_id": "222222222222", "session_name": "222222222222-caller"}),
        (request("/orders"), 200, {"items": []}),
        (request("/elsewhere"), 404, "route_not_found"),
        (request("/orders", role_id="AROAANOTHERROLE12345"), 403, "forbidden"),
        (request("/orders", role_id=""), 403, "forbidden"),
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
