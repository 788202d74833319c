"""The stacks as SAM and CloudFormation handle them: fail, change, isolate, throttle, remove, deploy again."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from samcli.yamlhelper import yaml_dump, yaml_parse

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C
from cross_account_lab.lab import STACK_NAMES, Lab
from cross_account_lab.sam import SamError
from tests.support.stacks import update


def test_another_consumer_is_another_id_and_sees_its_own_data(own_lab: Lab) -> None:
    user = own_lab.user(ACCOUNT_C, "consumer", own_lab.may_assume_executor())
    with pytest.raises(ClientError, match="AccessDenied"):
        own_lab.assume_executor(user, "333333333333-consumer")

    update(
        own_lab,
        ACCOUNT_A,
        ConsumerAccountIds="222222222222,333333333333",
        ConsumerSessionName="222222222222-*,333333333333-*",
    )
    b = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    c = own_lab.assume_executor(user, "333333333333-consumer")

    assert own_lab.request("GET", "/echo", c).json()["account_id"] == "333333333333"
    # Both use the same key.
    for who, name in ((b, "for-b"), (c, "for-c")):
        created = own_lab.request("POST", "/echo", who, body={"name": name}, headers={"Idempotency-Key": "shared"})
        assert created.status_code == 201
    for who, own, other in ((b, "for-b", "for-c"), (c, "for-c", "for-b")):
        listed = own_lab.request("GET", "/done", who).json()["names"]
        assert own in listed
        assert other not in listed

    update(own_lab, ACCOUNT_A)

    with pytest.raises(ClientError, match="AccessDenied"):
        own_lab.assume_executor(user, "333333333333-consumer")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200


def test_the_principals_that_may_assume_the_role_can_be_narrowed(own_lab: Lab) -> None:
    another = own_lab.user(ACCOUNT_B, "another-user", own_lab.may_assume_executor())
    assert own_lab.assume_executor(another, "222222222222-another-user").token

    update(own_lab, ACCOUNT_A, CallerPrincipalArns="arn:aws:iam::222222222222:user/my-*")

    assert own_lab.assume_executor(own_lab.user_key, "222222222222-my-user").token
    with pytest.raises(ClientError, match="AccessDenied"):
        own_lab.assume_executor(another, "222222222222-another-user")

    update(own_lab, ACCOUNT_A, CallerPrincipalArns="arn:*:*::*:*")


def test_the_stage_throttles_and_the_caller_comes_through(own_lab: Lab) -> None:
    update(own_lab, ACCOUNT_A, ThrottlingRateLimit="1", ThrottlingBurstLimit="1")
    me = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: own_lab.request("GET", "/echo", me).status_code, range(16)))
    assert set(statuses) == {200, 429}

    assert own_lab.invoke({"path": "/echo"})["status"] == 200
    update(own_lab, ACCOUNT_A, ThrottlingRateLimit="100", ThrottlingBurstLimit="200")


def test_a_first_deployment_that_fails_leaves_nothing_behind(own_lab: Lab) -> None:
    session = own_lab.session(ACCOUNT_A)
    tables, cloudformation = session.client("dynamodb"), session.client("cloudformation")
    before = tables.list_tables()["TableNames"]
    built = own_lab.sam.folder / ".aws-sam/account-a/build/template.yaml"
    template = yaml_parse(built.read_text())
    template["Resources"]["Impossible"] = {
        # Without the metric that an alarm needs.
        "Type": "AWS::CloudWatch::Alarm",
        "DependsOn": ["EchoTable"],
        "Properties": {"ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "Threshold": 1},
    }
    failing = built.with_name("failing.yaml")
    failing.write_text(yaml_dump(template))

    with pytest.raises(SamError, match="deleting stack"):
        own_lab.sam.run(
            "deploy",
            ACCOUNT_A,
            # SAM looks for its configuration next to the template.
            "--config-file",
            str(own_lab.sam.folder / "samconfig.toml"),
            "--template-file",
            str(failing),
            "--stack-name",
            "failing",
            "--parameter-overrides",
            "ConsumerAccountIds=222222222222",
            "ExternalId=external-id",
        )

    assert tables.list_tables()["TableNames"] == before
    with pytest.raises(ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName="failing")


@pytest.mark.parametrize(
    ("account", "wrong"),
    [
        (ACCOUNT_A, {"ConsumerAccountIds": "22222222222"}),
        (ACCOUNT_B, {"CallBody": "{}"}),
        (ACCOUNT_B, {"ExternalId": ""}),
    ],
)
def test_parameters_that_are_wrong_or_conflict_change_nothing(
    own_lab: Lab, account: str, wrong: dict[str, str]
) -> None:
    with pytest.raises(SamError, match=rf"sam deploy --config-env {account} failed \(1\)"):
        own_lab.deploy(account, **wrong)

    assert own_lab.invoke({"path": "/echo"})["status"] == 200


def test_both_stacks_can_be_removed_and_deployed_again(own_lab: Lab) -> None:
    stacks = {account: own_lab.session(account).client("cloudformation") for account in STACK_NAMES}
    tables = own_lab.session(ACCOUNT_A).client("dynamodb")
    before = tables.list_tables()["TableNames"]
    own_lab.session(ACCOUNT_B).client("iam").detach_user_policy(
        UserName="my-user", PolicyArn=own_lab.outputs[ACCOUNT_B]["ApiAccessPolicyArn"]
    )

    for account in (ACCOUNT_B, ACCOUNT_A):
        own_lab.sam.run("delete", account, "--no-prompts")
        with pytest.raises(ClientError, match="does not exist"):
            stacks[account].describe_stacks(StackName=STACK_NAMES[account])
    assert before
    assert tables.list_tables()["TableNames"] == before

    for account in STACK_NAMES:
        own_lab.deploy(account)
    assert own_lab.invoke({"path": "/echo"})["status"] == 200
