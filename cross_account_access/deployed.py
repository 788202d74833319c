"""Reads the policies of deployed stacks through the services' own APIs; changes nothing.

Needs, for each account: `cloudformation:DescribeStacks`, `cloudformation:ListStackResources`, `iam:GetRole`,
`iam:ListRolePolicies`, `iam:GetRolePolicy`, `iam:ListAttachedRolePolicies`, `iam:GetPolicy`, `iam:GetPolicyVersion`,
`apigateway:GET`, `lambda:GetPolicy`, `sqs:GetQueueAttributes`, `sns:GetTopicAttributes`, `kms:GetKeyPolicy`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cross_account_access.documents import Document, check_managed, document, expand
from cross_account_access.model import Model, assemble, handed_over
from cross_account_access.stack import NAMED_TYPES, Stack, from_template, of_type, physical_names
from cross_account_access.templates import ACCOUNTS, PROJECT, REGION, Side, source


class ReadError(Exception):
    """A stack could not be read."""


def read(sessions: Mapping[Side, boto3.Session], stacks: Mapping[Side, str], template_dir: Path = PROJECT) -> Model:
    """Make the model of deployed stacks: the templates' structure with the deployed policies and routes.

    An account without a session gets the stack of its template; an access stack needs a session.

    Raises:
        ReadError: An account does not respond, or its stack is not of this template.
        UnknownPolicyError: A role has a managed policy attached.
    """
    try:
        provider = (
            _read("a", sessions["a"], stacks["a"], template_dir)
            if "a" in sessions
            else from_template("a", template_dir, ACCOUNTS["a"], REGION, {})
        )
        consumer = (
            _read("b", sessions["b"], stacks["b"], template_dir)
            if "b" in sessions
            else from_template("b", template_dir, _consumer(provider), provider.region, handed_over(provider))
        )
        others = [_read("access", sessions["access"], stacks["access"], template_dir)] if "access" in sessions else []
    except (BotoCoreError, ClientError) as error:
        raise ReadError(str(error)) from error
    return assemble(template_dir, provider, consumer, *others)


def _consumer(provider: Stack) -> str:
    return str(provider.parameters["ConsumerAccountIds"][0])


def _read(side: Side, session: boto3.Session, name: str, template_dir: Path) -> Stack:
    reader = _Reader(session)
    account, region = reader.account, session.region_name or REGION
    parameters = reader.parameters(name)
    known = source(side, template_dir)["Parameters"]
    if missing := sorted(set(parameters) - set(known)):
        raise ReadError(f"The stack {name} has parameters that the template does not have: {', '.join(missing)}")
    resources = dict(reader.resources(name))
    names = {
        key: value
        for logical_id, (kind, physical_id) in resources.items()
        for key, value in physical_names(logical_id, kind, physical_id, account, region)
    }
    for logical_id, (kind, physical_id) in resources.items():
        if kind == "AWS::IAM::Role":
            names |= {f"{logical_id}.{key}": value for key, value in reader.role(physical_id).items()}
    stack = from_template(side, template_dir, account, region, parameters, physical=names)
    # Logical ids of other types, such as API deployments, change with their content.
    named = {key: item for key, item in stack.resources.items() if item["Type"] in NAMED_TYPES}
    if missing := sorted(set(named) - set(resources)):
        raise ReadError(f"The stack {name} lacks resources of the template: {', '.join(missing)}")
    apis = of_type(stack.resources, "AWS::ApiGateway::RestApi")
    prefix = "".join(f"arn:aws:execute-api:{region}:{account}:{names[api]}/" for api in list(apis)[:1])
    found = {
        key: expand(policy, prefix)
        for logical_id, (kind, physical_id) in sorted(resources.items())
        for key, policy in reader.documents(logical_id, kind, physical_id)
    }
    # To whom a policy is attached by name is as the template has it, for the stack's parameters.
    own = {key: policy for key, policy in stack.documents.items() if " named " not in key}
    for key in stack.documents.keys() - own.keys():
        of = next((name for name, policy in own.items() if policy == stack.documents[key]), "")
        found[key] = found.get(of, stack.documents[key])
    return replace(
        stack,
        documents=found,
        source=f"as deployed in stack {name}",
        routes=next((tuple(reader.routes(names[api], stack)) for api in apis), None),
    )


class _Reader:
    def __init__(self, session: boto3.Session) -> None:
        self._session = session
        self._iam = session.client("iam")
        self._api = session.client("apigateway")

    @property
    def account(self) -> str:
        return self._session.client("sts").get_caller_identity()["Account"]

    def parameters(self, stack: str) -> dict[str, Any]:
        (found,) = self._session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {item["ParameterKey"]: item["ParameterValue"] for item in found.get("Parameters", [])}

    def resources(self, stack: str) -> Iterator[tuple[str, tuple[str, str]]]:
        pages = self._session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        for item in (item for page in pages for item in page["StackResourceSummaries"]):
            yield item["LogicalResourceId"], (item["ResourceType"], item["PhysicalResourceId"])

    def role(self, name: str) -> dict[str, str]:
        role = self._iam.get_role(RoleName=name)["Role"]
        return {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def documents(self, logical_id: str, kind: str, physical_id: str) -> Iterator[tuple[str, Document]]:
        match kind:
            case "AWS::IAM::Role":
                trust: Any = self._iam.get_role(RoleName=physical_id)["Role"]["AssumeRolePolicyDocument"]
                yield f"{logical_id} trust", document(trust["Statement"])
                yield f"{logical_id} identity", self._identity(physical_id)
            case "AWS::IAM::ManagedPolicy":
                version = self._iam.get_policy(PolicyArn=physical_id)["Policy"]["DefaultVersionId"]
                found: Any = self._iam.get_policy_version(PolicyArn=physical_id, VersionId=version)["PolicyVersion"]
                yield f"{logical_id} identity", document(found["Document"]["Statement"])
            case "AWS::ApiGateway::RestApi":
                # API Gateway returns the document with escaped quotation marks.
                text = self._api.get_rest_api(restApiId=physical_id).get("policy", '{\\"Statement\\": []}')
                yield f"{logical_id} resource", document(json.loads(json.loads(f'"{text}"'))["Statement"])
            case "AWS::Lambda::Function":
                yield f"{logical_id} resource", self._function(physical_id)
            case "AWS::SQS::Queue":
                queue = self._session.client("sqs").get_queue_attributes(
                    QueueUrl=physical_id, AttributeNames=["Policy"]
                )
                yield f"{logical_id} resource", _parsed(queue.get("Attributes", {}).get("Policy"))
            case "AWS::SNS::Topic":
                topic = self._session.client("sns").get_topic_attributes(TopicArn=physical_id)
                policy = _parsed(topic["Attributes"].get("Policy"))
                # Leave out SNS's default, which is for the topic's own account.
                if any(statement.get("Sid") != "__default_statement_ID" for statement in policy["Statement"]):
                    yield f"{logical_id} resource", policy
            case "AWS::KMS::Key":
                key = self._session.client("kms").get_key_policy(KeyId=physical_id, PolicyName="default")
                yield f"{logical_id} resource", _parsed(key["Policy"])

    def _identity(self, role: str) -> Document:
        attached = self._iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        check_managed(role, [policy["PolicyArn"] for policy in attached])
        statements: list[Any] = []
        for policy in self._iam.list_role_policies(RoleName=role)["PolicyNames"]:
            found: Any = self._iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            statements += found["Statement"]
        return document(statements)

    def _function(self, name: str) -> Document:
        client = self._session.client("lambda")
        try:
            return _parsed(client.get_policy(FunctionName=name)["Policy"])
        except client.exceptions.ResourceNotFoundException:
            return document([])

    def routes(self, api: str, stack: Stack) -> Iterator[tuple[str, str, str, str]]:
        functions = {stack.physical[f"{name}.Arn"]: name for name in of_type(stack.resources, "AWS::Lambda::Function")}
        pages = self._api.get_paginator("get_resources").paginate(restApiId=api, embed=["methods"])
        for resource in (resource for page in pages for resource in page["items"]):
            for method, settings in resource.get("resourceMethods", {}).items():
                uri = settings.get("methodIntegration", {}).get("uri", "")
                function = next((name for arn, name in functions.items() if f"/{arn}/" in uri), "")
                yield method, resource["path"], settings["authorizationType"], function


def _parsed(policy: str | None) -> Document:
    return document(json.loads(policy)["Statement"] if policy else [])
