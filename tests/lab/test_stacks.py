"""What a deployed stack does with other parameters: it isolates consumers, narrows principals, throttles."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C
from cross_account_lab.lab import Lab
from tests.support.stacks import update


def test_another_consumer_is_another_id_and_sees_its_own_data(lab: Lab) -> None:
    user = lab.user(ACCOUNT_C, "consumer", lab.may_assume_executor())
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(user, "333333333333-consumer")

    update(
        lab,
        ACCOUNT_A,
        ConsumerAccountIds="222222222222,333333333333",
        ConsumerSessionName="222222222222-*,333333333333-*",
    )
    b = lab.assume_executor(lab.user_key, "222222222222-my-user")
    c = lab.assume_executor(user, "333333333333-consumer")

    assert lab.request("GET", "/whoami", c).json()["account_id"] == "333333333333"
    # Both use the same key.
    for who, name in ((b, "for-b"), (c, "for-c")):
        created = lab.request("POST", "/orders", who, body={"sku": name}, headers={"Idempotency-Key": "shared"})
        assert created.status_code == 201
    for who, own, other in ((b, "for-b", "for-c"), (c, "for-c", "for-b")):
        listed = [order["sku"] for order in lab.request("GET", "/orders?limit=100", who).json()["orders"]]
        assert own in listed
        assert other not in listed

    update(lab, ACCOUNT_A)

    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(user, "333333333333-consumer")
    assert lab.invoke({"path": "/whoami"})["status"] == 200


def test_the_principals_that_may_assume_the_role_can_be_narrowed(lab: Lab) -> None:
    another = lab.user(ACCOUNT_B, "another-user", lab.may_assume_executor())
    assert lab.assume_executor(another, "222222222222-another-user").token

    update(lab, ACCOUNT_A, CallerPrincipalArns="arn:aws:iam::222222222222:user/my-*")

    assert lab.assume_executor(lab.user_key, "222222222222-my-user").token
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(another, "222222222222-another-user")

    update(lab, ACCOUNT_A, CallerPrincipalArns="arn:*:*::*:*")


def test_the_stage_throttles_and_the_caller_comes_through(lab: Lab) -> None:
    update(lab, ACCOUNT_A, ThrottlingRateLimit="1", ThrottlingBurstLimit="1")
    me = lab.assume_executor(lab.user_key, "222222222222-my-user")

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: lab.request("GET", "/whoami", me).status_code, range(16)))
    assert set(statuses) == {200, 429}

    assert lab.invoke({"path": "/whoami"})["status"] == 200
    update(lab, ACCOUNT_A, ThrottlingRateLimit="100", ThrottlingBurstLimit="200")
