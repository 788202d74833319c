"""The example's resources, by name; tests/templates/access states the same for any API."""

import dataclasses

from cross_account_access.model import load
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
