"""The policy documents of a template, by the resource that they govern."""

import json
from collections.abc import Iterable
from typing import Any

from cross_account_access.engine import types
from cross_account_access.engine.intrinsics import ALWAYS, NEVER, Template, opaques
from cross_account_access.engine.policies import Entry, Fact, Policies

type Document = dict[str, Any]

# The only AWS managed policy that may be attached; its content is documented and cannot be read offline.
_AWS_MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"

# Resources that have a policy even if the template sets none, and others whose policies the properties look at.
_GOVERNED = {"AWS::Lambda::Function", "AWS::SQS::Queue", "AWS::ApiGateway::RestApi"}
_KNOWN = {*_GOVERNED, "AWS::KMS::Key", "AWS::S3::Bucket", "AWS::SNS::Topic"}


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


def of_template(template: Template) -> tuple[dict[str, Document], tuple[Fact, ...]]:
    """Collect the documents by `LogicalId trust`, `LogicalId identity` or `LogicalId resource`, and the other facts.

    Raises:
        UnknownPolicyError: The template has a kind of policy, or of resource, that is not known here.
    """
    there = {name: item["Type"] for name, item in template.resources.items() if template.exists(name) != NEVER}
    for name, kind in there.items():
        if not types.known(kind) or kind.startswith("AWS::CloudFormation::"):
            raise UnknownPolicyError(f"{name} ({kind}) is of a type of which nothing is known here")
    policies = Policies(template, own_api=True)
    found = {f"{name} resource": document([]) for name, kind in there.items() if kind in _GOVERNED}
    for name, holder in policies.holders.items():
        check_managed(name, [arn for _, arn in holder.managed])
        # Whom it is attached to by name has an entry of their own.
        if not name.startswith("policy named "):
            found[f"{name.removeprefix('policy ')} identity"] = document(_plain(holder.statements))
    for name, role in policies.trusts.items():
        found[f"{name} trust"] = document(_plain(role.statements))
    for name, governed in policies.governed.items():
        entries = [entry for entry in governed.statements if not entry[2].endswith("resource: no policy")]
        if entries and there.get(name) not in _KNOWN:
            raise UnknownPolicyError(f"{name} ({there.get(name)}) has a policy of a kind that is not known here")
        if name in there and (entries or there[name] in _GOVERNED):
            found[f"{name} resource"] = document(_plain(entries))
    return dict(sorted(found.items())), tuple(policies.facts)


def expand(policy: Document, api_prefix: str) -> Document:
    """Expand `execute-api:/…`, as API Gateway does when it stores a policy."""
    expanded: Document = json.loads(json.dumps(policy).replace('"execute-api:/', f'"{api_prefix}'))
    return expanded


def _plain(entries: Iterable[Entry]) -> list[Any]:
    statements = []
    for guard, statement, label in entries:
        unknown = next(opaques(dict(statement)), None)
        if unknown is not None or guard not in {ALWAYS, NEVER}:
            raise UnknownPolicyError(f"{label} depends on what the template does not know: {unknown or guard}")
        if guard == ALWAYS:
            statements.append(dict(statement))
    return statements
