"""What template-deploy-role.yaml grants: enough to deploy each stack, and nothing beyond its boundary."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from samtranslator.yaml_helper import yaml_parse

from cross_account_access.templates import PROJECT, REGION, Side, resolved

TEMPLATE: dict[str, Any] = yaml_parse((PROJECT / "template-deploy-role.yaml").read_text())

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
    "iam:CreateServiceLinkedRole",
    "iam:DeleteRolePermissionsBoundary",
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


def policies(role: str) -> list[dict[str, Any]]:
    """The statements of a role's inline policies."""
    found: list[dict[str, Any]] = [
        statement
        for policy in TEMPLATE["Resources"][role]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    return found


def boundary() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = TEMPLATE["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    return found


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def matches(action: str, patterns: Any) -> bool:
    return any(fnmatch.fnmatchcase(action, pattern) for pattern in listed(patterns))


def needed(side: Side) -> Iterator[tuple[str, str]]:
    """What CloudFormation calls to create, read, change and delete each resource of a stack."""
    for name, resource in resolved(side)["Resources"].items():
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, resource["Type"]).schema["handlers"]
        for kind in ("create", "read", "update", "delete"):
            for action in handlers.get(kind, {}).get("permissions", []):
                yield name, action


@pytest.mark.parametrize("side", ["a", "b"])
def test_the_role_may_do_what_cloudformation_does(side: Side) -> None:
    allowed = [
        action
        for statement in policies("DeployRole")
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    ]
    missing = {(name, action) for name, action in needed(side) if not matches(action, (*UNUSED, *allowed))}
    assert missing == set()


def test_a_role_that_it_creates_is_bound_to_the_boundary() -> None:
    bounded = {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"}
    for statement in policies("DeployRole"):
        granted = {action for action in bounded if matches(action, statement["Action"])}
        if granted and statement["Effect"] == "Allow":
            assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}}
    allowed = [
        action
        for statement in policies("DeployRole")
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    ]
    for escape in (
        "iam:DeleteRolePermissionsBoundary",
        "iam:AttachUserPolicy",
        "iam:PutUserPolicy",
        "sts:AssumeRole",
        "iam:CreateAccessKey",
        "dynamodb:GetItem",
        "lambda:InvokeFunction",
    ):
        assert not matches(escape, allowed), escape


def test_it_cannot_change_itself_or_the_boundary() -> None:
    (deny,) = [statement for statement in policies("DeployRole") if statement["Effect"] == "Deny"]
    assert deny["Action"] == "iam:*"
    protected = {match for arn in deny["Resource"] for match in re.findall(r"StackName\}-(\w+)-\*$", arn["Fn::Sub"])}
    assert protected == {"DeployRole", "SmokeTestRole", "Boundary"}


def test_a_wildcard_is_for_actions_without_resource_permissions() -> None:
    wide = {
        action
        for statement in policies("DeployRole")
        if statement["Resource"] == "*" and "Condition" not in statement
        for action in statement["Action"]
    }
    assert wide == {
        "cloudformation:GetTemplateSummary",
        "cloudformation:ValidateTemplate",
        "logs:DeleteQueryDefinition",
        "logs:DescribeLogGroups",
        "logs:DescribeQueryDefinitions",
        "logs:DescribeResourcePolicies",
        "logs:PutQueryDefinition",
        "sns:GetSubscriptionAttributes",
        "sns:SetSubscriptionAttributes",
        "sns:Unsubscribe",
    }


@pytest.mark.parametrize("side", ["a", "b"])
def test_the_boundary_leaves_the_stacks_roles_what_they_need(side: Side) -> None:
    inside = [action for statement in boundary() for action in listed(statement["Action"])]
    granted = {
        action
        for resource in resolved(side)["Resources"].values()
        if resource["Type"] in {"AWS::IAM::Role", "AWS::IAM::Policy"}
        for policy in resource["Properties"].get("Policies", [resource["Properties"]])
        for statement in policy.get("PolicyDocument", {}).get("Statement", [])
        for action in listed(statement["Action"])
    }
    assert len(granted) >= 4
    assert {action for action in granted if not matches(action, inside)} == set()


def test_the_boundary_allows_no_other_role_of_the_account() -> None:
    (assume,) = [statement for statement in boundary() if matches("sts:AssumeRole", statement["Action"])]
    assert assume["NotResource"] == {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"}


@pytest.mark.parametrize("role", ["DeployRole", "SmokeTestRole"])
def test_only_the_named_environments_may_assume_a_role(role: str) -> None:
    (statement,) = TEMPLATE["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {"Ref": "Subjects"},
        }
    }


@pytest.mark.parametrize(
    ("subject", "accepted"),
    [
        ("repo:owner/repo:environment:account-a", True),
        ("repo:owner@123/repo@456:environment:account-a", True),
        ("repo:owner/repo:*", False),
        ("repo:owner/*:environment:account-a", False),
        ("repo:owner/repo:ref:refs/heads/main", False),
    ],
)
def test_a_subject_is_one_environment_of_one_repository(subject: str, accepted: bool) -> None:
    assert bool(re.fullmatch(TEMPLATE["Parameters"]["Subjects"]["AllowedPattern"], subject, re.ASCII)) is accepted


def test_inline_policies_fit_into_a_role() -> None:
    # 10,240 characters in all without white space: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    text = json.dumps(
        [policy["PolicyDocument"] for policy in TEMPLATE["Resources"]["DeployRole"]["Properties"]["Policies"]]
    )
    for name, value in {
        "AWS::Partition": "aws-us-gov",
        "AWS::Region": "us-gov-west-1",
        "AWS::AccountId": "1" * 12,
        "StackName": "x" * 24,
        "AWS::StackName": "x" * 40,
    }.items():
        text = text.replace(f"${{{name}}}", value)
    assert len(re.sub(r"\s", "", text.replace('{"Fn::Sub":', ""))) < 10_240


def test_every_parameter_is_described_constrained_and_labelled() -> None:
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(interface["ParameterLabels"]) == sorted(TEMPLATE["Parameters"])
    for name, parameter in TEMPLATE["Parameters"].items():
        assert parameter["Description"].endswith("."), name
        assert {"AllowedPattern", "ConstraintDescription"} <= set(parameter), name
        assert re.fullmatch(parameter["AllowedPattern"], parameter.get("Default", "")) or "Default" not in parameter, (
            name
        )
