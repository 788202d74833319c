"""What template-access.yaml deploys: one role with the trust policy of account A's executor, for the listed methods."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import Any

import botocore.session
import pytest
from samcli.commands.deploy.command import cli as deploy_command
from samcli.commands.validate.validate import cli as validate_command

from cross_account_access.model import load
from cross_account_access.templates import PROJECT, resolved, rules, source

METHODS = "arn:aws:execute-api:eu-west-1:111111111111:a1b2c3d4e5/v1/"
ORGANIZATION = {"ConsumerAccountIds": "", "ConsumerOrganizationId": "o-a1b2c3d4e5"}
NOTHING = {"Ref": "AWS::NoValue"}


def role(**parameters: Any) -> dict[str, Any]:
    properties: dict[str, Any] = resolved("access", **parameters)["Resources"]["ExecutorRole"]["Properties"]
    return properties


def trust(**parameters: Any) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = role(**parameters)["AssumeRolePolicyDocument"]["Statement"]
    return statements


def policy(**parameters: Any) -> list[dict[str, Any]]:
    (only,) = role(**parameters)["Policies"]
    statements: list[dict[str, Any]] = only["PolicyDocument"]["Statement"]
    return statements


# --- The same trust as template A's -----------------------------------------------------------------------------------


def for_organization(value: Any) -> dict[str, Any]:
    return {"Fn::If": ["ForOrganization", value, NOTHING]}


def without_organization(statement: dict[str, Any]) -> dict[str, Any]:
    """A statement's source without what the organization adds, which is checked to be exactly this."""
    statement = copy.deepcopy(statement)
    condition = statement["Condition"]
    assert statement["Principal"] == {"AWS": {"Fn::If": ["ForOrganization", "*", {"Ref": "ConsumerAccountIds"}]}}
    statement["Principal"] = {"AWS": {"Ref": "ConsumerAccountIds"}}
    own = {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}
    assert condition.pop("StringNotEquals") == for_organization(own)
    paths = {"aws:PrincipalOrgPaths": {"Ref": "ConsumerOrganizationPaths"}}
    assert condition.pop("ForAnyValue:StringLike") == {"Fn::If": ["ForOrganizationPaths", paths, NOTHING]}
    organization = {"Ref": "ConsumerOrganizationId"}
    if condition["StringEquals"] == for_organization({"aws:PrincipalOrgID": organization}):
        del condition["StringEquals"]
    else:
        assert condition["StringEquals"].pop("aws:PrincipalOrgID") == for_organization(organization)
    return statement


def test_the_trust_policy_is_that_of_account_as_executor() -> None:
    ours, theirs = (source(side)["Resources"]["ExecutorRole"]["Properties"] for side in ("access", "a"))
    statements = ours["AssumeRolePolicyDocument"]["Statement"]
    assert [without_organization(item) for item in statements] == theirs["AssumeRolePolicyDocument"]["Statement"]
    for name in ("Path", "PermissionsBoundary", "MaxSessionDuration"):
        assert ours[name] == theirs[name]
    assert set(ours) == {*theirs, "Policies"}


def test_for_accounts_the_resolved_trust_is_account_as_too() -> None:
    given: dict[str, Any] = {
        "ConsumerAccountIds": "222222222222,333333333333",
        "PreviousExternalId": "old",
        "AllowIdentityCenterUsers": "false",
        "CallerPrincipalArns": "arn:aws:iam::222222222222:role/job-*",
    }
    for parameters in (dict[str, Any](), given):
        theirs = resolved("a", **parameters)["Resources"]["ExecutorRole"]["Properties"]
        assert trust(**parameters) == theirs["AssumeRolePolicyDocument"]["Statement"]


def test_shared_parameters_and_conditions_mean_the_same() -> None:
    ours, theirs = source("access"), source("a")
    shared = set(ours["Parameters"]) & set(theirs["Parameters"])
    assert set(ours["Parameters"]) - shared == {
        "GrantedMethodArns",
        "ConsumerOrganizationId",
        "ConsumerOrganizationPaths",
    }
    for name in shared - {"ConsumerAccountIds"}:
        assert ours["Parameters"][name] == theirs["Parameters"][name], name
    for name in set(ours["Conditions"]) & set(theirs["Conditions"]):
        assert ours["Conditions"][name] == theirs["Conditions"][name], name


# --- What it grants ---------------------------------------------------------------------------------------------------


def test_there_is_one_role_and_nothing_else() -> None:
    (only,) = resolved("access")["Resources"].values()
    assert only["Type"] == "AWS::IAM::Role"
    assert "ManagedPolicyArns" not in only["Properties"]


def test_what_is_written_is_what_is_granted() -> None:
    arns = [f"{METHODS}GET/orders", f"{METHODS}GET/orders/*"]
    assert policy(GrantedMethodArns=arns) == [
        {"Sid": "InvokeGrantedMethods", "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": arns}
    ]


@pytest.mark.parametrize(
    ("arn", "accepted"),
    [
        (f"{METHODS}GET/orders", True),
        (f"{METHODS}GET/orders/*", True),
        (f"{METHODS}GET/customers/*/orders", True),
        (f"{METHODS}DELETE/*", True),
        (f"{METHODS}GET/", True),
        (f"{METHODS}POST/v1.2/order-lines~x/a:b@c=d%20e+f", True),
        ("arn:aws-cn:execute-api:cn-north-1:111111111111:a1b2c3d4e5/$default/GET/orders", True),
        # In IAM an asterisk reaches over slashes: each of these would grant more than it seems to.
        (f"{METHODS}*/orders", False),
        (f"{METHODS}GET/orders*", False),
        (f"{METHODS}GET/ord*rs/x", False),
        (f"{METHODS}GET/**", False),
        (f"{METHODS}G?T/orders", False),
        (f"{METHODS}GET*", False),
        (f"{METHODS}*", False),
        (f"{METHODS}get/orders", False),
        ("arn:aws:execute-api:eu-west-1:111111111111:a1b2c3d4e5/*/GET/orders", False),
        ("arn:aws:execute-api:eu-west-1:111111111111:*/v1/GET/orders", False),
        ("arn:aws:execute-api:*:111111111111:a1b2c3d4e5/v1/GET/orders", False),
        ("arn:aws:execute-api:eu-west-1:*:a1b2c3d4e5/v1/GET/orders", False),
        ("arn:aws:lambda:eu-west-1:111111111111:function:name", False),
        (f"{METHODS}GET/orders/${{aws:username}}", False),
        (f"{METHODS}GET/orders/{{order_id}}", False),
        (f"{METHODS}ANY/orders", False),
        ("*", False),
        ("", False),
    ],
)
def test_an_asterisk_is_accepted_only_for_a_whole_segment(arn: str, accepted: bool) -> None:
    pattern = source("access")["Parameters"]["GrantedMethodArns"]["AllowedPattern"]
    # CloudFormation's patterns are Java's, where \w is ASCII.
    assert bool(re.fullmatch(pattern, arn, re.ASCII)) is accepted


def test_suspended_consumers_lose_their_sessions() -> None:
    allow, deny = policy(SuspendedConsumerIds="222222222222,333333333333")
    assert allow == policy()[0]
    assert deny == {
        "Sid": "DenySuspendedConsumers",
        "Effect": "Deny",
        "Action": "execute-api:Invoke",
        "Resource": "*",
        "Condition": {"StringLike": {"aws:userid": ["*:222222222222-*", "*:333333333333-*"]}},
    }


# --- Organizations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paths", ["", "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*,o-a1b2c3d4e5/r-ab12/"])
def test_an_organization_is_trusted_without_this_account(paths: str) -> None:
    for statement in trust(**ORGANIZATION, ConsumerOrganizationPaths=paths):
        condition = statement["Condition"]
        assert statement["Principal"] == {"AWS": "*"}
        assert condition["StringEquals"]["aws:PrincipalOrgID"] == "o-a1b2c3d4e5"
        assert condition["StringNotEquals"] == {"aws:PrincipalAccount": "111111111111"}
        narrowed = condition.get("ForAnyValue:StringLike", {}).get("aws:PrincipalOrgPaths")
        assert narrowed == (paths.split(",") if paths else None)
        if statement["Sid"] != "PassTagsAndSourceIdentity":
            assert condition["StringEquals"]["sts:ExternalId"] == ["external-id"]
            assert condition["StringLike"] == {"sts:RoleSessionName": ["${aws:PrincipalAccount}-*"]}


def test_accounts_are_trusted_without_a_wildcard_principal() -> None:
    text = json.dumps(trust())
    assert '"*"' not in text
    assert "PrincipalOrg" not in text


@pytest.mark.parametrize(
    ("broken", "parameters"),
    [
        (set(), {}),
        (set(), ORGANIZATION),
        (set(), {**ORGANIZATION, "ConsumerOrganizationPaths": "o-a1b2c3d4e5/r-ab12/*"}),
        (set(), {"ConsumerSessionName": "222222222222-*"}),
        ({"AccountsOrOrganization"}, {"ConsumerAccountIds": ""}),
        ({"AccountsOrOrganization"}, {"ConsumerOrganizationId": "o-a1b2c3d4e5"}),
        ({"PathsOfOrganization"}, {"ConsumerOrganizationPaths": "o-a1b2c3d4e5/r-ab12/*"}),
        ({"BoundSessionNameInOrganization"}, {**ORGANIZATION, "ConsumerSessionName": "222222222222-*"}),
        (
            {"BoundSessionNameInOrganization"},
            {**ORGANIZATION, "ConsumerSessionName": "${aws:PrincipalAccount}-*,222222222222-*"},
        ),
    ],
)
def test_conflicting_parameters_are_refused(broken: set[str], parameters: dict[str, str]) -> None:
    assert {name for name, kept in rules("access", **parameters).items() if not kept} == broken


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        ("ConsumerOrganizationId", "o-a1b2c3d4e5", True),
        ("ConsumerOrganizationId", "", True),
        ("ConsumerOrganizationId", "*", False),
        ("ConsumerOrganizationId", "o-*", False),
        ("ConsumerOrganizationPaths", "", True),
        ("ConsumerOrganizationPaths", "o-a1b2c3d4e5/r-ab12/", True),
        ("ConsumerOrganizationPaths", "o-a1b2c3d4e5/r-ab12/*", True),
        ("ConsumerOrganizationPaths", "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/*", True),
        ("ConsumerOrganizationPaths", "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111", False),
        ("ConsumerOrganizationPaths", "o-a1b2c3d4e5/r-ab12/ou-ab12-1111*", False),
        ("ConsumerOrganizationPaths", "o-a1b2c3d4e5/*", False),
        ("ConsumerOrganizationPaths", "*", False),
    ],
)
def test_organizations_are_named_in_full(parameter: str, value: str, accepted: bool) -> None:
    assert bool(re.fullmatch(source("access")["Parameters"][parameter]["AllowedPattern"], value)) is accepted


def test_ids_of_organizations_are_those_that_aws_gives() -> None:
    model = botocore.session.get_session().get_service_model("organizations")
    parameters = source("access")["Parameters"]
    organization, root, unit = (
        str(model.shape_for(name).metadata["pattern"]).strip("^$").replace("\\-", "-")
        for name in ("OrganizationId", "RootId", "OrganizationalUnitId")
    )
    assert parameters["ConsumerOrganizationId"]["AllowedPattern"] == f"({organization})?"
    assert parameters["ConsumerOrganizationPaths"]["AllowedPattern"] == rf"({organization}/{root}/({unit}/)*\*?)?"


# --- Outputs ----------------------------------------------------------------------------------------------------------


def test_the_guard_is_the_statement_of_account_as_api() -> None:
    theirs = resolved("a")["Resources"][load().api]["Properties"]["Policy"]["Statement"][0]
    assert json.loads(resolved("access")["Outputs"]["GuardStatement"]["Value"]) == theirs


def test_outputs_are_what_the_other_templates_take() -> None:
    outputs = resolved("access")["Outputs"]
    assert set(outputs) == {"ExecutorRoleArn", "ExecutorRoleId", "ExternalId", "GuardStatement"}
    assert {"ExecutorRoleArn", "ExternalId"} <= set(source("b")["Parameters"])
    assert "MoreExecutorRoleIds" in source("a")["Parameters"]
    assert outputs["ExecutorRoleId"]["Value"] == "ExecutorRole.RoleId"


def test_samconfig_holds_only_options_that_sam_knows() -> None:
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())["access"]
    for command, tool in {"deploy": deploy_command, "validate": validate_command}.items():
        parameters = config[command]["parameters"]
        known = {parameter.name for parameter in tool.params}
        assert set(parameters) <= known, f"sam {command} silently ignores unknown options"
        assert parameters["template_file"] == "template-access.yaml"
    assert set(config) == {"deploy", "validate"}, "there is nothing to build"
    deploy = config["deploy"]["parameters"]
    assert deploy["profile"] == "account-a"
    assert deploy["capabilities"] == ["CAPABILITY_IAM"]
    assert deploy["on_failure"] == "DELETE"
