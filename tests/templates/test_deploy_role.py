"""What template-deploy-role.yaml grants suffices to deploy each stack; tests/templates/access proves it is no more."""

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from cross_account_access.deploy_role import SETTINGS, setting
from cross_account_access.documents import listed
from cross_account_access.templates import PROJECT, Side, rules_of
from tests.templates.stacks import DEPLOY_ROLE as TEMPLATE
from tests.templates.stacks import DOMAIN, EMAIL, PLAN, SIDES, VPC, accepts, resources, schema

# What CloudFormation's handlers can need for features that neither stack uses.
UNUSED = (
    "dynamodb:*Kinesis*",
    "dynamodb:*Replica",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:GetItem",
    "dynamodb:ImportTable",
    "dynamodb:PutItem",
    "dynamodb:PutResourcePolicy",
    "dynamodb:DeleteResourcePolicy",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateContributorInsights",
    "dynamodb:UpdateItem",
    "ec2:*",
    "elasticfilesystem:*",
    "firehose:*",
    "iam:*GroupPolicy",
    "iam:*UserPolicy",
    "iam:AttachRolePolicy",
    "iam:CreateServiceLinkedRole",
    "iam:DeleteRolePermissionsBoundary",
    "iam:DetachRolePolicy",
    "kinesis:*",
    "kms:*",
    "lambda:AssociateRuntimeAlias",
    "lambda:PassCapacityProvider",
    "logs:*BearerToken*",
    "logs:*DeletionProtection",
    "logs:*IndexPolicy",
    "logs:*KmsKey",
    "logs:CreateLogDelivery",
    "logs:CreateLogStream",
    "logs:PutDataProtectionPolicy",
    "logs:PutLogEvents",
    "logs:PutResourcePolicy",
    "s3:GetObjectMetadata",
    "s3:REST.PUT.OBJECT",
    "s3files:*",
    "sns:PutDataProtectionPolicy",
)


# As a deployment through GitHub sets them.
PARAMETERS: dict[Side, dict[str, Any]] = {
    "a": {**EMAIL, **DOMAIN, **PLAN, "BackendConcurrency": "20"},
    "b": {**EMAIL, **VPC, "CreateApiAccessPolicy": "false"},
}
DEPLOYED = dict(zip("ab", (setting(TEMPLATE, **given) for given in SETTINGS.values()), strict=True))


def matches(action: str, patterns: Any) -> bool:
    return any(fnmatch.fnmatchcase(action, pattern) for pattern in listed(patterns))


def allowed(side: Side, policy: str) -> list[str]:
    """The actions of a policy's statements, without its denials."""
    statements = DEPLOYED[side].policies[policy]
    return [
        action for statement in statements if statement["Effect"] == "Allow" for action in listed(statement["Action"])
    ]


def needed(side: Side) -> Iterator[tuple[str, str]]:
    """What CloudFormation calls to create, read, change and delete each resource of a stack."""
    for name, resource in resources(side, **PARAMETERS[side]).items():
        handlers = schema(resource["Type"])["handlers"]
        for kind in ("create", "read", "update", "delete"):
            for action in handlers.get(kind, {}).get("permissions", []):
                yield name, action


@pytest.mark.parametrize("side", SIDES)
def test_the_role_may_do_what_cloudformation_does(side: Side) -> None:
    # Only account B's function is in a VPC; account A's needs nothing of EC2.
    unused = UNUSED if side == "a" else (pattern for pattern in UNUSED if pattern != "ec2:*")
    can = (*unused, *allowed(side, "DeployRole identity"))
    assert {(name, action) for name, action in needed(side) if not matches(action, can)} == set()


@pytest.mark.parametrize("side", SIDES)
def test_a_deployment_through_github_needs_no_managed_policy(side: Side) -> None:
    """Which is why the role need neither make, change nor attach one."""
    for name, resource in resources(side, **PARAMETERS[side]).items():
        assert resource["Type"] != "AWS::IAM::ManagedPolicy", name
        assert "ManagedPolicyArns" not in resource.get("Properties", {}), name


@pytest.mark.parametrize("side", SIDES)
def test_the_boundary_leaves_the_stacks_roles_what_they_need(side: Side) -> None:
    granted = {
        action
        for resource in resources(side, **PARAMETERS[side]).values()
        if resource["Type"] in {"AWS::IAM::Role", "AWS::IAM::Policy"}
        for policy in resource["Properties"].get("Policies", [resource["Properties"]])
        for statement in policy.get("PolicyDocument", {}).get("Statement", [])
        for action in listed(statement["Action"])
    }
    assert len(granted) >= 4
    assert {action for action in granted if not matches(action, allowed(side, "Boundary identity"))} == set()


def test_packages_are_kept_and_travel_by_tls_only() -> None:
    bucket, policy = (TEMPLATE["Resources"][name] for name in ("PackagesBucket", "PackagesBucketPolicy"))
    # A rollback takes the older package from here.
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "LifecycleConfiguration" not in bucket["Properties"]
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert len(statement["Resource"]) == 2


@pytest.mark.parametrize("stack_name", ["orders-api", "orders-caller"])
def test_the_documented_commands_fit_the_template(stack_name: str) -> None:
    text = (PROJECT / "docs/deploy.md").read_text().replace("OWNER_ID", "1").replace("REPO_ID", "2")
    commands = (part.partition("```")[0] for part in text.split("aws cloudformation deploy "))
    (command,) = (part for part in commands if f"--stack-name deploy-{stack_name} " in part)
    given = dict(part.split("=", 1) for part in shlex.split(command) if re.match(r"[A-Z]\w+=", part))
    values: dict[str, Any] = {}
    for name, parameter in TEMPLATE["Parameters"].items():
        value = given.pop(name, parameter.get("Default"))
        values[name] = value.split(",") if parameter["Type"] == "CommaDelimitedList" else value
        for item in listed(values[name]):
            assert accepts("deploy-role", name, item), (name, item)
    assert given == {}
    assert all(rules_of(TEMPLATE, values).values())
    assert not set(values["Subjects"]) & set(values["SmokeTestSubjects"])
    assert values["RolePath"] == f"/{stack_name}/", "only a path confines iam:PassRole"


def test_the_policy_fits_into_a_role() -> None:
    # 10,240 characters in all without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    longest = {
        "AWS::Partition": "aws-us-gov",
        "AWS::Region": "us-gov-west-1",
        "StackName": "x" * 24,
        "RolePath": f"/{'x' * 24}/",
    }
    statements = setting(TEMPLATE, **longest).policies["DeployRole identity"]
    assert len(json.dumps(statements, separators=(",", ":"))) < 10_000
