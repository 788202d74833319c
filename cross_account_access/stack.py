"""One account's stack: its resources with physical names, its policy documents and its routes."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cross_account_access import documents
from cross_account_access.documents import Document
from cross_account_access.engine.intrinsics import RESOURCES, Template
from cross_account_access.engine.policies import Fact
from cross_account_access.templates import Side, of_parameters, parameters_of, present

_API_ID = "a1b2c3d4e5"
_METHOD_KEYS = ("get", "post", "put", "patch", "delete", "head", "options", "x-amazon-apigateway-any-method")

NAMED_TYPES = {kind for kind, known in RESOURCES.items() if "arn" in known}


class ModelError(Exception):
    """A template cannot be read as an API with an executor role."""


@dataclass(frozen=True)
class Stack:
    """One account's stack; in resources and outputs, references are logical ids."""

    side: Side
    account: str
    region: str
    parameters: Mapping[str, Any]
    template: Template = field(repr=False)  # with physical names; its own resources are as they are written
    resources: Mapping[str, Any]
    outputs: Mapping[str, Any]
    physical: Mapping[str, str]  # by `LogicalId` and `LogicalId.Attribute`
    documents: Mapping[str, Document] = field(repr=False)  # by `LogicalId trust|identity|resource`
    facts: tuple[Fact, ...] = field(default=(), repr=False)  # access that no document states
    source: str = "template"  # of the policies, in words
    # Method, path, authorizer and function of each, if read from a deployment.
    routes: tuple[tuple[str, str, str, str], ...] | None = None


def from_template(
    side: Side,
    template_dir: Path,
    account: str,
    region: str,
    parameters: Mapping[str, Any],
    *,
    physical: Mapping[str, str] | None = None,
) -> Stack:
    """Resolve a stack from its template; physical names are made up unless given."""
    plain = present(of_parameters(side, parameters, folder=template_dir, account=account, region=region))
    # Its role would otherwise have the same name as account A's, in the same account.
    prefix = "Access" if side == "access" else ""
    names = dict(physical or {}) or {
        name: value
        for logical_id, resource in plain["Resources"].items()
        for name, value in physical_names(logical_id, resource["Type"], prefix + logical_id, account, region)
    }
    for logical_id in of_type(plain["Resources"], "AWS::IAM::Role"):
        digest = hashlib.sha256(f"{side} {logical_id}".encode()).hexdigest()
        names.setdefault(f"{logical_id}.RoleId", f"AROA{digest[:17].upper()}")
    template = of_parameters(side, parameters, folder=template_dir, account=account, region=region, physical=names)
    found, facts = documents.of_template(template)
    return Stack(
        side=side,
        account=account,
        region=region,
        parameters=parameters_of(side, template_dir, **parameters),
        template=template,
        resources=plain["Resources"],
        outputs=plain["Outputs"],
        physical=names,
        documents=found,
        facts=facts,
    )


def physical_names(
    logical_id: str, kind: str, physical_id: str, account: str, region: str
) -> Iterator[tuple[str, str]]:
    """Iterate over what `LogicalId` and `LogicalId.Arn` refer to."""
    if kind not in NAMED_TYPES:
        return
    if kind == "AWS::ApiGateway::RestApi" and physical_id == logical_id:
        physical_id = _API_ID
    # Some physical ids are ARNs, and that of a queue is its URL.
    name = physical_id.rpartition("/")[2] if kind == "AWS::SQS::Queue" else physical_id
    arn = name if name.startswith("arn:") else RESOURCES[kind]["arn"].format(region=region, account=account, id=name)
    yield f"{logical_id}.Arn", arn
    yield logical_id, arn if "ref" in RESOURCES[kind] else physical_id


def of_type(resources: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the resources of a type, by logical id."""
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def named_by_output(stack: Stack, output: str, kind: str) -> str:
    """Return the resource to which an output refers.

    Raises:
        ModelError: There is no such output, or it names another type.
    """
    value = str(stack.outputs.get(output, {}).get("Value", "")).removesuffix(".Arn")
    if value not in of_type(stack.resources, kind):
        raise ModelError(f"The output {output} of account {stack.side.upper()}'s template names no {kind}: {value!r}")
    return value


def routes_of_template(api: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Iterate over method, path, authorizer and function of an API's routes."""
    body = api["Properties"].get("Body")
    if not body:
        raise ModelError("The API's routes are not in the template: define them as events of the functions")
    schemes = body.get("components", {}).get("securitySchemes", body.get("securityDefinitions", {}))
    functions = of_type(resources, "AWS::Lambda::Function")
    for path, item in body["paths"].items():
        for key in (key for key in item if key in _METHOD_KEYS):
            asked = [name for requirement in item[key].get("security", []) for name in requirement]
            # An API key meters; it is asked for besides the authorizer.
            names = [name for name in asked if not _is_api_key(schemes.get(name, {}))]
            kinds = [schemes.get(name, {}).get("x-amazon-apigateway-authtype") for name in names]
            authorizer = "AWS_IAM" if kinds == ["awsSigv4"] else ", ".join(names) or "NONE"
            uri = item[key].get("x-amazon-apigateway-integration", {}).get("uri", "")
            function = next((name for name in functions if f"/{name}.Arn/" in uri), "")
            yield ("ANY" if key.startswith("x-") else key.upper()), path, authorizer, function


def _is_api_key(scheme: Mapping[str, Any]) -> bool:
    return scheme.get("type") == "apiKey" and "x-amazon-apigateway-authtype" not in scheme
