"""The policy documents of a template, by the resource that they govern."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

type Document = dict[str, Any]

# The only AWS managed policy that may be attached; its content is documented and cannot be read offline.
_AWS_MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"

# Resources that have a policy even if the template sets none.
_GOVERNED = {"AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::ApiGateway::RestApi"}
# Policies that are resources, and the property that lists what they govern.
_ATTACHED = {
    "AWS::IAM::Policy": "Roles",
    "AWS::SQS::QueuePolicy": "Queues",
    "AWS::SNS::TopicPolicy": "Topics",
}


class UnknownPolicyError(Exception):
    """A template or a deployment has a policy that the model does not cover."""


def document(statements: list[Any]) -> Document:
    """Make a policy document."""
    return {"Version": "2012-10-17", "Statement": statements}


def listed(value: Any) -> list[Any]:
    """Return the values of an element, which may be one or a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def check_managed(role: str, arns: list[str]) -> None:
    """Raise `UnknownPolicyError` for any other managed policy, whose content is not known here."""
    if set(arns) - {_AWS_MANAGED}:
        raise UnknownPolicyError(f"{role} has managed policies: {arns}")


def of_template(
    resources: Mapping[str, Any], physical: Mapping[str, Any], names: Mapping[str, str], api_prefix: str
) -> dict[str, Document]:
    """Collect the documents of a template by `LogicalId trust`, `LogicalId identity` or `LogicalId resource`.

    Args:
        resources: References left as logical ids.
        physical: The same resources, references resolved to physical names.
        names: Physical names by `LogicalId` and `LogicalId.Attribute`.
        api_prefix: ARN of the API, including `/`, for API Gateway's short form `execute-api:/…`.

    Raises:
        UnknownPolicyError: The template has a kind of policy that is not known here.
    """
    found: dict[str, Document] = {}
    for name, resource in resources.items():
        if resource["Type"] in _GOVERNED:
            found.setdefault(f"{name} resource", document([]))
        for key, policy in _documents(name, resource, physical[name].get("Properties", {}), names):
            if policy.get("Version") != "2012-10-17":
                raise UnknownPolicyError(f"{name}: version {policy.get('Version')}, in which policy variables are text")
            found[key] = document([*found.get(key, document([]))["Statement"], *listed(policy["Statement"])])
    return {name: expand(policy, api_prefix) for name, policy in sorted(found.items())}


def expand(policy: Document, api_prefix: str) -> Document:
    """Expand `execute-api:/…`, as API Gateway does when it stores a policy."""
    expanded: Document = json.loads(json.dumps(policy).replace('"execute-api:/', f'"{api_prefix}'))
    return expanded


def _documents(
    name: str, resource: Mapping[str, Any], properties: Mapping[str, Any], names: Mapping[str, str]
) -> Iterator[tuple[str, Document]]:
    logical = resource.get("Properties", {})
    match resource["Type"]:
        case "AWS::IAM::Role":
            yield f"{name} trust", properties["AssumeRolePolicyDocument"]
            yield f"{name} identity", document([])
            for policy in properties.get("Policies", []):
                yield f"{name} identity", policy["PolicyDocument"]
            check_managed(name, properties.get("ManagedPolicyArns", []))
        case "AWS::IAM::ManagedPolicy":
            yield f"{name} identity", properties["PolicyDocument"]
        case "AWS::IAM::RolePolicy":
            yield f"{logical['RoleName']} identity", properties["PolicyDocument"]
        case "AWS::ApiGateway::RestApi" if "Policy" in properties:
            yield f"{name} resource", properties["Policy"]
        case "AWS::KMS::Key":
            yield f"{name} resource", properties["KeyPolicy"]
        case "AWS::S3::BucketPolicy":
            yield f"{logical['Bucket']} resource", properties["PolicyDocument"]
        case "AWS::Lambda::Permission":
            function = logical["FunctionName"].removesuffix(".Arn")
            yield f"{function} resource", document([_permission(name, properties, names[f"{function}.Arn"])])
        case kind if kind in _ATTACHED:
            what = "identity" if kind == "AWS::IAM::Policy" else "resource"
            for governed in logical[_ATTACHED[kind]]:
                yield f"{governed} {what}", properties["PolicyDocument"]
        case kind if '"Effect"' in json.dumps(properties):
            raise UnknownPolicyError(f"{name} ({kind}) holds a policy of a kind that is not known here")


def _permission(name: str, properties: Mapping[str, Any], function_arn: str) -> Document:
    """Return the statement that Lambda makes of a permission."""
    unknown = set(properties) - {"Action", "FunctionName", "Principal", "SourceArn", "SourceAccount"}
    if unknown:
        raise UnknownPolicyError(f"{name} has {sorted(unknown)}, of which no statement is made here")
    condition: Document = {}
    if "SourceArn" in properties:
        condition["ArnLike"] = {"AWS:SourceArn": properties["SourceArn"]}
    if "SourceAccount" in properties:
        condition["StringEquals"] = {"AWS:SourceAccount": properties["SourceAccount"]}
    kind = "Service" if properties["Principal"].endswith(".amazonaws.com") else "AWS"
    return {
        "Sid": name,
        "Effect": "Allow",
        "Principal": {kind: properties["Principal"]},
        "Action": properties["Action"],
        "Resource": function_arn,
        "Condition": condition,
    }
