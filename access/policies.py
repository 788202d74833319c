"""Every policy of both accounts, as the templates make them and as they stand after a deployment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from access.templates import ACCOUNTS, REGION, Side, resolved
from lab import workarounds
from lab.accounts import ACCOUNT_A, ACCOUNT_B
from lab.lab import STACK_NAMES

if TYPE_CHECKING:
    from lab.lab import Lab

type Document = dict[str, Any]

_SIDES: dict[Side, str] = {"a": ACCOUNT_A, "b": ACCOUNT_B}
# The one policy of AWS's own that a template attaches; what it grants is documented and cannot be read offline.
_AWS_MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"


class UnknownPolicyError(Exception):
    """A template or a deployment holds a policy that nothing here would judge."""


@dataclass(frozen=True)
class Intent:
    """What the owner of account A asked for when deploying; the facts are stated in these terms.

    Attributes:
        consumers: Ids of the accounts that may call.
        external_ids: External ids that are accepted.
        session_names: Patterns of session names.
        caller_arns: ARN patterns of the principals that may assume the executor role.
        mfa: Whether people need MFA.
        stage: The API's stage.
    """

    consumers: tuple[str, ...] = (ACCOUNTS["b"],)
    external_ids: tuple[str, ...] = ("external-id",)
    session_names: tuple[str, ...] = ("${aws:PrincipalAccount}-*",)
    caller_arns: tuple[str, ...] = ("arn:*:*::*:*",)
    mfa: bool = True
    stage: str = "v1"

    @property
    def parameters(self) -> dict[str, Any]:
        """The template parameters that say so."""
        external_id, previous = (*self.external_ids, "")[:2]
        return {
            "ConsumerAccountIds": list(self.consumers),
            "ExternalId": external_id,
            "PreviousExternalId": previous,
            "ConsumerSessionName": list(self.session_names),
            "CallerPrincipalArns": list(self.caller_arns),
            "RequireMfaForUsers": str(self.mfa).lower(),
            "StageName": self.stage,
        }


# Everything that a deployment can narrow, narrowed: a fault that the defaults would hide shows here.
STRICT = Intent(
    consumers=(ACCOUNTS["b"], "444444444444"),
    external_ids=("new-id", "old-id"),
    caller_arns=(f"arn:aws:iam::{ACCOUNTS['b']}:role/job-*", "arn:aws:iam::*:user/ann"),
)


def deployed_intent(external_id: str = "external-id") -> Intent:
    """Return what the lab asks of account A's stack."""
    parameters = workarounds.provider_parameters([ACCOUNT_B])
    return Intent(
        external_ids=(external_id,),
        session_names=tuple(parameters["ConsumerSessionName"].split(",")),
        mfa=parameters["RequireMfaForUsers"] == "true",
    )


@dataclass(frozen=True)
class Policies:
    """The policies of one deployment of both stacks.

    Attributes:
        intent: What the deployment was asked for.
        names: Physical names: the id of OrdersApi, and each `LogicalId.Attribute` that a policy mentions.
        documents: Policy documents by `LogicalId trust`, `LogicalId identity` or `LogicalId resource`.
    """

    intent: Intent
    names: Mapping[str, str]
    documents: Mapping[str, Document] = field(repr=False)

    def __getitem__(self, name: str) -> Document:
        """Return a policy document."""
        return self.documents[name]

    @property
    def api_arn(self) -> str:
        """ARN of the API, below which its methods lie."""
        return f"arn:aws:execute-api:{REGION}:{ACCOUNTS['a']}:{self.names['OrdersApi']}"

    def with_document(self, name: str, document: Document) -> Policies:
        """Return the same policies but for one document."""
        return replace(self, documents={**self.documents, name: document})


def from_templates(intent: Intent | None = None, names: Mapping[str, str] | None = None) -> Policies:
    """Work the policies out from the shipped templates.

    Args:
        intent: What to deploy; by default what the templates' own defaults say.
        names: Physical names to use, such as those of a deployment; by default made up.

    Returns:
        The policies.

    Raises:
        UnknownPolicyError: A template holds a kind of policy that is not known here.
    """
    intent = intent or Intent()
    found: dict[Side, dict[str, Any]] = {
        "a": resolved("a", **intent.parameters)["Resources"],
        "b": resolved("b", ExecutorRoleArn="ExecutorRole.Arn")["Resources"],
    }
    names = names or {name: value for side, resources in found.items() for name, value in _made_up(side, resources)}
    documents: dict[str, Document] = {}
    for resources in found.values():
        for name, resource in resources.items():
            for key, document in _template_documents(name, resource, resources):
                physical = _named(document, names)
                documents[key] = _merged(documents.get(key), physical)
        for name, resource in resources.items():
            if resource["Type"] == "AWS::Lambda::Function":
                documents.setdefault(f"{name} resource", _document([]))
    return Policies(intent, names, {name: _api_expanded(documents[name], names) for name in sorted(documents)})


def from_deployment(lab: Lab, intent: Intent) -> Policies:
    """Read the policies back from a deployment, through the services' own APIs.

    Args:
        lab: The two accounts.
        intent: What they were deployed with.

    Returns:
        The policies.

    Raises:
        UnknownPolicyError: A role has a managed policy attached.
    """
    names: dict[str, str] = {}
    documents: dict[str, Document] = {}
    for side, account in _SIDES.items():
        reader = _Reader(lab, account)
        stack = lab.session(account).client("cloudformation").describe_stack_resources(StackName=STACK_NAMES[account])
        for resource in stack["StackResources"]:
            name, physical = resource["LogicalResourceId"], resource["PhysicalResourceId"]
            match resource["ResourceType"]:
                case "AWS::IAM::Role":
                    names |= {f"{name}.{key}": value for key, value in reader.role(physical).items()}
                    documents[f"{name} trust"] = reader.trust(physical)
                    documents[f"{name} identity"] = reader.identity(physical)
                case "AWS::IAM::ManagedPolicy":
                    documents[f"{name} identity"] = reader.managed(physical)
                case "AWS::ApiGateway::RestApi":
                    names[name] = physical
                    documents[f"{name} resource"] = reader.api(physical)
                case "AWS::Lambda::Function":
                    names[f"{name}.Arn"] = f"arn:aws:lambda:{REGION}:{ACCOUNTS[side]}:function:{physical}"
                    documents[f"{name} resource"] = reader.function(physical)
                case "AWS::SQS::Queue":
                    names[f"{name}.Arn"] = f"arn:aws:sqs:{REGION}:{ACCOUNTS[side]}:{physical.rsplit('/', 1)[-1]}"
                    documents[f"{name} resource"] = reader.queue(physical)
                case "AWS::DynamoDB::Table":
                    names[f"{name}.Arn"] = f"arn:aws:dynamodb:{REGION}:{ACCOUNTS[side]}:table/{physical}"
                case "AWS::Logs::LogGroup":
                    names[f"{name}.Arn"] = f"arn:aws:logs:{REGION}:{ACCOUNTS[side]}:log-group:{physical}:*"
                case "AWS::SNS::Topic" | "AWS::KMS::Key":
                    names[f"{name}.Arn"] = physical
    return Policies(intent, names, {name: _api_expanded(documents[name], names) for name in sorted(documents)})


def _made_up(side: Side, resources: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    account = ACCOUNTS[side]
    for name, resource in resources.items():
        match resource["Type"]:
            case "AWS::IAM::Role":
                yield f"{name}.Arn", f"arn:aws:iam::{account}:role/{name}"
                yield f"{name}.RoleId", f"AROA{name.upper():X<17.17}"
            case "AWS::ApiGateway::RestApi":
                yield name, "a1b2c3d4e5"
            case "AWS::Lambda::Function":
                yield f"{name}.Arn", f"arn:aws:lambda:{REGION}:{account}:function:{name}"
            case "AWS::SQS::Queue":
                yield f"{name}.Arn", f"arn:aws:sqs:{REGION}:{account}:{name}"
            case "AWS::DynamoDB::Table":
                yield f"{name}.Arn", f"arn:aws:dynamodb:{REGION}:{account}:table/{name}"
            case "AWS::Logs::LogGroup":
                yield f"{name}.Arn", f"arn:aws:logs:{REGION}:{account}:log-group:{name}:*"


def _template_documents(name: str, resource: Any, resources: Mapping[str, Any]) -> Iterable[tuple[str, Document]]:
    properties = resource.get("Properties", {})
    match resource["Type"]:
        case "AWS::IAM::Role":
            yield f"{name} trust", properties["AssumeRolePolicyDocument"]
            yield f"{name} identity", _document([])
            for policy in properties.get("Policies", []):
                yield f"{name} identity", policy["PolicyDocument"]
            if set(properties.get("ManagedPolicyArns", [])) - {_AWS_MANAGED}:
                raise UnknownPolicyError(f"{name} has managed policies: {properties['ManagedPolicyArns']}")
        case "AWS::IAM::Policy":
            for role in properties["Roles"]:
                yield f"{role} identity", properties["PolicyDocument"]
        case "AWS::IAM::ManagedPolicy":
            yield f"{name} identity", properties["PolicyDocument"]
        case "AWS::ApiGateway::RestApi":
            yield f"{name} resource", properties["Policy"]
        case "AWS::Lambda::Permission":
            function = properties["FunctionName"]
            yield f"{function} resource", _document([_permission(name, properties)])
        case "AWS::SQS::QueuePolicy":
            for queue in properties["Queues"]:
                yield f"{queue} resource", properties["PolicyDocument"]
        case "AWS::SQS::Queue":
            yield f"{name} resource", _document([])
        case kind if '"Effect"' in json.dumps(properties):
            raise UnknownPolicyError(f"{name} ({kind}) holds a policy of a kind that is not known here")


def _permission(name: str, properties: Mapping[str, Any]) -> Document:
    """Return the statement that Lambda makes of a permission."""
    unknown = set(properties) - {"Action", "FunctionName", "Principal", "SourceArn", "SourceAccount"}
    if unknown:
        raise UnknownPolicyError(f"{name} has {sorted(unknown)}, of which no statement is made here")
    condition: Document = {}
    if "SourceArn" in properties:
        condition["ArnLike"] = {"AWS:SourceArn": properties["SourceArn"]}
    if "SourceAccount" in properties:
        condition["StringEquals"] = {"AWS:SourceAccount": properties["SourceAccount"]}
    return {
        "Sid": name,
        "Effect": "Allow",
        "Principal": {"Service": properties["Principal"]},
        "Action": properties["Action"],
        "Resource": f"{properties['FunctionName']}.Arn",
        "Condition": condition,
    }


class _Reader:
    def __init__(self, lab: Lab, account: str) -> None:
        session = lab.session(account)
        self._iam = session.client("iam")
        self._api = session.client("apigateway")
        self._lambda = session.client("lambda")
        self._sqs = session.client("sqs")
        # The emulator speaks plain HTTP, which the queues' own policy refuses, and takes this header as TLS.
        self._sqs.meta.events.register(
            "before-sign.sqs", lambda request, **_: request.headers.add_header("X-Forwarded-Proto", "https")
        )

    def role(self, name: str) -> dict[str, str]:
        role = self._iam.get_role(RoleName=name)["Role"]
        return {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def trust(self, name: str) -> Document:
        document: Any = self._iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        return _document(document["Statement"])

    def identity(self, name: str) -> Document:
        attached = self._iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        if attached:
            raise UnknownPolicyError(f"{name} has managed policies: {attached}")
        statements: list[Any] = []
        for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document: Any = self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            statements += document["Statement"]
        return _document(statements)

    def managed(self, arn: str) -> Document:
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document: Any = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        return _document(document["Statement"])

    def api(self, api_id: str) -> Document:
        # API Gateway gives the document with its quotation marks escaped once more.
        policy = self._api.get_rest_api(restApiId=api_id)["policy"]
        return _document(json.loads(json.loads(f'"{policy}"'))["Statement"])

    def function(self, name: str) -> Document:
        try:
            policy = self._lambda.get_policy(FunctionName=name)["Policy"]
        except self._lambda.exceptions.ResourceNotFoundException:
            return _document([])
        return _document(json.loads(policy)["Statement"])

    def queue(self, url: str) -> Document:
        attributes = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {})
        return _document(json.loads(attributes["Policy"])["Statement"] if "Policy" in attributes else [])


def _document(statements: list[Any]) -> Document:
    return {"Version": "2012-10-17", "Statement": statements}


def _merged(one: Document | None, other: Document) -> Document:
    if other["Version"] != "2012-10-17":
        raise UnknownPolicyError(f"version {other['Version']}: policy variables would be plain text")
    return _document([*(one or _document([]))["Statement"], *other["Statement"]])


def _named(value: Any, names: Mapping[str, str]) -> Any:
    """Replace logical ids by physical names."""
    if isinstance(value, dict):
        return {key: _named(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if not isinstance(value, str):
        return value
    text = re.sub(r"\b[A-Z]\w+\.(Arn|RoleId)\b", lambda match: names.get(match[0], match[0]), value)
    return re.sub(r"(?<=:)OrdersApi(?=/)", names["OrdersApi"], text)


def _api_expanded(document: Document, names: Mapping[str, str]) -> Document:
    """Write API Gateway's short form `execute-api:/…` out, as API Gateway itself does when it stores a policy."""
    prefix = f"arn:aws:execute-api:{REGION}:{ACCOUNTS['a']}:{names['OrdersApi']}/"
    expanded: Document = json.loads(json.dumps(document).replace('"execute-api:/', f'"{prefix}'))
    return expanded
