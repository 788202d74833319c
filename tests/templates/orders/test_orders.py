"""The example's resources and package, by name; tests/templates/access states the same for any API."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.functions import Function, build, invoke, runtime, zipped
from benchmarks.server import running
from cross_account_access.model import load
from cross_account_access.templates import PROJECT
from orders.settings import Settings
from tests.templates.stacks import properties, variables


def test_the_executor_may_invoke_four_of_five_methods() -> None:
    assert {str(route): route.granted for route in load().routes} == {
        "GET /whoami": True,
        "POST /orders": True,
        "GET /orders": True,
        "GET /orders/{order_id}": True,
        "DELETE /orders/{order_id}": False,
    }


def test_the_backend_may_touch_its_own_tables_action_by_action() -> None:
    """No proof knows which of a table's actions the code needs; that it has no others is proven."""
    (policy,) = properties("OrdersFunctionRole", "a")["Policies"]
    statements = {item["Sid"]: item for item in policy["PolicyDocument"]["Statement"]}
    item = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]
    for sid, actions, table in (
        ("StoreOrders", item, "OrdersTable.Arn"),
        ("ListOrders", "dynamodb:Query", ["OrdersTable.Arn/index/ByCreation", "OrdersTable.Arn/index/ByStatus"]),
        ("RecordIdempotencyKeys", [*item, "dynamodb:DeleteItem"], "IdempotencyTable.Arn"),
    ):
        assert (statements[sid]["Action"], statements[sid]["Resource"]) == (actions, table)


def test_idempotency_records_expire() -> None:
    ttl = properties("IdempotencyTable", "a")["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "expiration", "Enabled": True}


def test_the_backend_is_given_its_tables_and_its_executor() -> None:
    given = variables("OrdersFunction", "a")
    assert {name.lower() for name in given} == {field.name for field in dataclasses.fields(Settings)}


RESPONSES = {
    "api-bad-body": 400,
    "api-cancel-order": 200,
    "api-create-order": 201,
    "api-get-order": 200,
    "api-list-orders": 200,
    "api-other-consumer": 200,
    "api-whoami": 200,
}


@pytest.mark.slow
def test_the_package_is_small_and_needs_only_the_runtime(tmp_path: Path) -> None:
    assert {event.stem for event in (PROJECT / "events").glob("api-*.json")} == set(RESPONSES)
    package = build("OrdersFunction", tmp_path)
    assert zipped(package) <= 2_500_000
    handler = Function("orders.handler.handler", (package, runtime(tmp_path)))
    events = [json.loads((PROJECT / f"events/{name}.json").read_text()) for name in RESPONSES]
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        responses = [invocation.result["statusCode"] for invocation in invoke(handler, events, server.environment())]
    assert dict(zip(RESPONSES, responses, strict=True)) == RESPONSES
