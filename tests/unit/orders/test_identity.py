"""The API serves consumers only, each its own orders."""

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from tests.support.signers import FORGED
from tests.unit.orders.support import Api


@pytest.mark.parametrize(("method", "path"), [("GET", "/whoami"), ("POST", "/orders"), ("GET", "/nowhere")])
def test_the_api_answers_403_and_does_nothing(api: Api, dynamodb: DynamoDBClient, method: str, path: str) -> None:
    another_role = FORGED["another role"]  # tests/unit/cross_account_backend has the others
    response = api(method, path, '{"sku": "ABC-1"}', headers={"Idempotency-Key": ["k"]}, identity=another_role)
    assert (response.status, response.code) == (403, "forbidden")
    assert dynamodb.scan(TableName="orders")["Count"] == dynamodb.scan(TableName="idempotency")["Count"] == 0
