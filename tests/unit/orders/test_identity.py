"""The API serves consumers only, each its own orders."""

import pytest
from mypy_boto3_dynamodb import DynamoDBClient

from tests.support.signers import ARN, FORGED, OTHER_ROLE_ID
from tests.unit.orders.support import Api, B, C


@pytest.mark.parametrize(("method", "path"), [("GET", "/whoami"), ("POST", "/orders"), ("GET", "/nowhere")])
def test_the_api_answers_403_and_does_nothing(api: Api, dynamodb: DynamoDBClient, method: str, path: str) -> None:
    another_role = FORGED["another role"]  # tests/unit/cross_account_backend has the others
    response = api(method, path, '{"sku": "ABC-1"}', headers={"Idempotency-Key": ["k"]}, identity=another_role)
    assert (response.status, response.code) == (403, "forbidden")
    assert dynamodb.scan(TableName="orders")["Count"] == dynamodb.scan(TableName="idempotency")["Count"] == 0


def test_a_consumer_is_the_same_whichever_role_it_comes_by(api: Api) -> None:
    def by_other_role(account: str) -> dict[str, str | None]:
        return {"caller": f"{OTHER_ROLE_ID}:{account}-batch", "userArn": f"{ARN}/{account}-batch"}

    order = api.order("key").body
    path = f"/orders/{order['order_id']}"
    assert api("GET", path, identity=by_other_role(B)).body == order
    assert api("GET", path, identity=by_other_role(C)).code == "order_not_found"
    assert api("GET", "/orders", identity=by_other_role(C)).body["orders"] == []
