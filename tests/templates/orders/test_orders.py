"""The example's resources and package, by name; tests/templates/access states the same for any API."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.functions import Function, build, invoke, runtime, zipped
from benchmarks.server import running
from cross_account_access.templates import PROJECT, resolved
from orders.settings import Settings

PREFIX = "arn:aws:execute-api:eu-west-1:111111111111:OrdersApi/v1/"


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = resolved("a")["Resources"]
    return found


def test_the_executor_may_invoke_four_of_five_methods(resources: dict[str, Any]) -> None:
    (statement,) = resources["ExecutorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement == {
        "Sid": "InvokeGrantedRoutes",
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "Resource": [f"{PREFIX}GET/whoami", f"{PREFIX}POST/orders", f"{PREFIX}GET/orders", f"{PREFIX}GET/orders/*"],
    }
    paths = resources["OrdersApi"]["Properties"]["Body"]["paths"]
    routes = {f"{method.upper()}{path}" for path, methods in paths.items() for method in methods}
    granted = {resource.removeprefix(PREFIX) for resource in statement["Resource"]}
    assert {re.sub(r"\{.*?\}", "*", route) for route in routes} - granted == {"DELETE/orders/*"}


def test_the_backend_may_touch_its_own_tables_action_by_action(resources: dict[str, Any]) -> None:
    role = resources["OrdersFunctionRole"]["Properties"]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    granted = {item["Sid"]: (item["Action"], item["Resource"]) for item in policy["PolicyDocument"]["Statement"]}
    assert all(item["Effect"] == "Allow" for item in policy["PolicyDocument"]["Statement"])
    assert granted == {
        "WriteLogs": (["logs:CreateLogStream", "logs:PutLogEvents"], "OrdersLogGroup.Arn"),
        "WriteTraces": (["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
        "StoreOrders": (["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], "OrdersTable.Arn"),
        "ListOrders": ("dynamodb:Query", ["OrdersTable.Arn/index/ByCreation", "OrdersTable.Arn/index/ByStatus"]),
        "RecordIdempotencyKeys": (
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            "IdempotencyTable.Arn",
        ),
    }


def test_idempotency_records_expire(resources: dict[str, Any]) -> None:
    ttl = resources["IdempotencyTable"]["Properties"]["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "expiration", "Enabled": True}


def test_the_backend_is_given_its_tables_and_its_executor(resources: dict[str, Any]) -> None:
    variables = resources["OrdersFunction"]["Properties"]["Environment"]["Variables"]
    given = {name: value for name, value in variables.items() if not name.startswith("POWERTOOLS_")}
    assert given == {
        "ORDERS_TABLE": "OrdersTable",
        "IDEMPOTENCY_TABLE": "IdempotencyTable",
        "EXECUTOR_ROLE_IDS": "ExecutorRole.RoleId",
    }
    assert {name.lower() for name in given} == {field.name for field in dataclasses.fields(Settings)}


def test_the_alarm_on_throttling_is_on_the_backends_metric(resources: dict[str, Any]) -> None:
    alarm = resources["StoreThrottledAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("CrossAccountApi", "StoreThrottled")
    assert alarm["Dimensions"] == [{"Name": "service", "Value": "stack-a"}]


RESPONSES = {
    "api-bad-body": 400,
    "api-cancel-order": 200,
    "api-create-order": 201,
    "api-get-order": 200,
    "api-list-orders": 200,
    "api-other-consumer": 200,
    "api-whoami": 200,
}


def test_the_package_is_small_and_needs_only_the_runtime(tmp_path: Path) -> None:
    package = build("OrdersFunction", tmp_path)
    assert zipped(package) <= 2_500_000
    handler = Function("orders.handler.handler", (package, runtime(tmp_path)))
    events = [json.loads((PROJECT / f"events/{name}.json").read_text()) for name in RESPONSES]
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        responses = [invocation.result["statusCode"] for invocation in invoke(handler, events, server.environment())]
    assert dict(zip(RESPONSES, responses, strict=True)) == RESPONSES


def test_every_request_of_the_events_is_among_them() -> None:
    assert {event.stem for event in (PROJECT / "events").glob("api-*.json")} == set(RESPONSES)
