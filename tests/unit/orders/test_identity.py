"""Only sessions of the executor role count, whatever else API Gateway may have let pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aws_lambda_powertools.utilities.data_classes.common import APIGatewayEventIdentity

from orders.errors import ForbiddenError
from orders.identity import Consumer, identify
from tests.unit.orders.support import ROLE_ID, Api

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ARN = "arn:aws:sts::111111111111:assumed-role/executor"

FORGED: dict[str, dict[str, str | None]] = {
    "nobody": {"caller": None, "userArn": None},
    "empty": {"caller": "", "userArn": ""},
    "a user": {"caller": "AIDAEXAMPLEUSERID1234", "userArn": "arn:aws:iam::111111111111:user/admin"},
    "the root": {"caller": "111111111111", "userArn": "arn:aws:iam::111111111111:root"},
    "another role": {"caller": "AROAANOTHERROLE12345:222222222222-x", "userArn": f"{ARN}/222222222222-x"},
    "a longer role id": {"caller": f"{ROLE_ID}0:222222222222-x", "userArn": f"{ARN}/222222222222-x"},
    "no session": {"caller": ROLE_ID, "userArn": "arn:aws:iam::111111111111:role/executor"},
    "empty session": {"caller": f"{ROLE_ID}:", "userArn": f"{ARN}/"},
    "no account": {"caller": f"{ROLE_ID}:orders-caller", "userArn": f"{ARN}/orders-caller"},
    "account only": {"caller": f"{ROLE_ID}:222222222222", "userArn": f"{ARN}/222222222222"},
    "short account": {"caller": f"{ROLE_ID}:22222222222-x", "userArn": f"{ARN}/22222222222-x"},
    "long account": {"caller": f"{ROLE_ID}:2222222222222-x", "userArn": f"{ARN}/2222222222222-x"},
    "other digits": {"caller": f"{ROLE_ID}:{'٢' * 12}-x", "userArn": f"{ARN}/{'٢' * 12}-x"},
    "line break": {"caller": f"{ROLE_ID}:222222222222-x\n", "userArn": f"{ARN}/222222222222-x\n"},
    "a colon": {"caller": f"{ROLE_ID}:222222222222-x:y", "userArn": f"{ARN}/222222222222-x:y"},
    "no ARN": {"caller": f"{ROLE_ID}:222222222222-x", "userArn": None},
    "ARN of another session": {"caller": f"{ROLE_ID}:222222222222-x", "userArn": f"{ARN}/333333333333-x"},
    "ARN that only ends so": {"caller": f"{ROLE_ID}:222222222222-x", "userArn": f"{ARN}/333333333333-x/222222222222-x"},
    "pattern": {"caller": f"{ROLE_ID}:222222222222-...", "userArn": f"{ARN}/222222222222-abc"},
}


@pytest.mark.parametrize("session_name", ["222222222222-orders-caller", "222222222222-", "222222222222-my.user@b=1,+_"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_account_comes_from_the_bound_session_name(session_name: str, partition: str) -> None:
    arn = f"arn:{partition}:sts::111111111111:assumed-role/executor/{session_name}"
    identity = APIGatewayEventIdentity({"caller": f"{ROLE_ID}:{session_name}", "userArn": arn})
    assert identify(identity, ROLE_ID) == Consumer(account_id="222222222222", session_name=session_name)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_anyone_else_is_refused(forged: dict[str, str | None]) -> None:
    with pytest.raises(ForbiddenError):
        identify(APIGatewayEventIdentity(forged), ROLE_ID)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
@pytest.mark.parametrize(("method", "path"), [("GET", "/whoami"), ("POST", "/orders"), ("GET", "/nowhere")])
def test_the_api_answers_403_and_does_nothing(
    api: Api, dynamodb: DynamoDBClient, method: str, path: str, forged: dict[str, str | None]
) -> None:
    answer = api(method, path, '{"sku": "ABC-1"}', headers={"Idempotency-Key": ["k"]}, identity=forged)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert dynamodb.scan(TableName="orders")["Count"] == dynamodb.scan(TableName="idempotency")["Count"] == 0
