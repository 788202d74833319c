from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto import mock_aws

from cross_account_access.templates import resolved
from tests.support.lambda_context import LambdaContext
from tests.support.signers import ARN, ROLE_ID

SETTINGS = {
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "EXECUTOR_ROLE_IDS": ROLE_ID,
    "LOG_LEVEL": "INFO",
    "PRODUCTS_TABLE": "products",
}
LIST, ITEM = "/shops/{shop_id}/products", "/shops/{shop_id}/products/{product_id}"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, Any]]]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        products = importlib.import_module("products.handler")
        properties = resolved("a")["Resources"]["ProductsTable"]["Properties"]
        given = {name: properties[name] for name in ("AttributeDefinitions", "KeySchema", "BillingMode")}
        products.TABLE.create_table(TableName="products", **given)

        def call(method: str, resource: str, body: Any = None, *, account: str = "222222222222") -> tuple[int, Any]:
            session = f"{account}-job"
            event = {
                "httpMethod": method,
                "resource": resource,
                "pathParameters": {"shop_id": "1", "product_id": "tea"},
                "body": body and json.dumps(body),
                "requestContext": {
                    "requestId": "id",
                    "identity": {"caller": f"{ROLE_ID}:{session}", "userArn": f"{ARN}/{session}"},
                },
            }
            response = products.handler(event, LambdaContext())
            return response["statusCode"], json.loads(response["body"])

        yield call


def test_a_product_is_found_by_its_own_consumer_only(call: Callable[..., tuple[int, Any]]) -> None:
    assert call("GET", ITEM)[0] == 404
    assert call("PUT", ITEM, {"price": 3}) == call("GET", ITEM) == (200, {"price": 3})
    assert call("GET", LIST) == (200, {"products": [{"price": 3}]})
    assert call("GET", LIST, account="333333333333") == (200, {"products": []})
    assert call("GET", ITEM, account="33333333333x")[0] == 403
