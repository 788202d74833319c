"""IAM's evaluation logic over symbolic requests.

See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import z3

from access.documents import listed
from access.engine import patterns
from access.engine.fields import FALSE, TRUE, NotModelledError, all_of, any_of
from access.engine.request import Key, Kind, Request

type Statement = Mapping[str, Any]

_ELEMENTS = ("Principal", "Action", "Resource")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


def allowed(
    request: Request,
    resource_policy: Iterable[Statement],
    *,
    owner: str,
    identity: Any = TRUE,
    trust: bool = False,
) -> Any:
    """Whether a request is allowed, as a formula.

    `owner` is the id of the resource's account; `identity`, when the principal's own policies allow it (by default,
    always). A role's trust policy (`trust`) is needed even in the role's own account.
    """
    grants: list[Any] = []
    delegations: list[Any] = []
    denials: list[Any] = []
    for statement in resource_policy:
        named, delegated = _principals(statement, request)
        applies = _applies(statement, request, trust=trust)
        if _effect(statement) == "Deny":
            denials.append(all_of(any_of(named, delegated), applies))
        else:
            grants.append(all_of(named, applies))
            delegations.append(all_of(delegated, applies))
    granted, delegated = any_of(*grants), any_of(*delegations)
    not_denied = z3.Not(any_of(*denials))
    if not request.is_iam:
        return all_of(granted, not_denied)
    same_account = any_of(granted, all_of(identity, delegated if trust else TRUE))
    other_account = all_of(any_of(granted, delegated), identity)
    return all_of(z3.If(request.is_of(owner), same_account, other_account), not_denied)


def identity_allows(request: Request, identity_policy: Iterable[Statement]) -> Any:
    """Whether a principal's own policy allows a request, as a formula."""
    grants: list[Any] = []
    denials: list[Any] = []
    for statement in identity_policy:
        if {"Principal", "NotPrincipal"} & set(statement):
            raise NotModelledError("an identity policy that names a principal: IAM refuses it")
        applies = _applies(statement, request)
        (grants if _effect(statement) == "Allow" else denials).append(applies)
    return all_of(any_of(*grants), z3.Not(any_of(*denials)))


def _effect(statement: Statement) -> str:
    known = {"Sid", "Effect", "Condition", *_ELEMENTS, *(f"Not{element}" for element in _ELEMENTS)}
    if set(statement) - known or statement["Effect"] not in {"Allow", "Deny"}:
        raise NotModelledError(f"statement {statement}")
    return str(statement["Effect"])


def _principals(statement: Statement, request: Request) -> tuple[Any, Any]:
    """Whether a statement names the principal itself, and whether it names its account."""
    if "NotPrincipal" in statement:
        named, delegated = _named(statement["NotPrincipal"], request)
        return z3.Not(any_of(named, delegated)), FALSE
    if "Principal" not in statement:
        raise NotModelledError("a resource policy's statement without principal")
    return _named(statement["Principal"], request)


def _named(element: Any, request: Request) -> tuple[Any, Any]:
    if element == "*":
        return TRUE, FALSE
    named: list[Any] = []
    delegated: list[Any] = []
    for kind, values in element.items():
        for value in listed(values):
            if kind == "Service":
                named.append(request.is_service(value))
            elif kind == "AWS" and value == "*":
                named.append(z3.BoolVal(request.kind is not Kind.SERVICE))
            elif kind == "AWS" and (match := re.fullmatch(r"([0-9]{12})|arn:aws:iam::([0-9]{12}):root", value)):
                delegated.append(request.is_of(match[1] or match[2]))
            elif kind == "AWS" and re.fullmatch(r"arn:aws:iam::[0-9]{12}:(user|role)/[^*?]+", value):
                named.append(request.principal_like(value))
            else:
                raise NotModelledError(f"principal {kind}: {value}")
    return any_of(*named), any_of(*delegated)


def parts(statement: Statement, request: Request, *, trust: bool = False) -> dict[str, Any]:
    """Whether each part of a statement matches, by element or condition key; trust policies name no resource."""
    actions = [action.lower() for action in listed(statement.get("Action", statement.get("NotAction")))]
    matched = request.action.like(*actions)
    found = {"Action": matched if "Action" in statement else z3.Not(matched)}
    if {"Principal", "NotPrincipal"} & set(statement):
        found["Principal"] = any_of(*_principals(statement, request))
    if not trust or {"Resource", "NotResource"} & set(statement):
        resources = listed(statement.get("Resource", statement.get("NotResource")))
        for resource in resources:
            # A wildcard that ends a part of an ARN matches beyond its colon; elsewhere in the part it may not.
            if "${" in resource or re.search(r"[*?][^:*?/]+:", resource):
                raise NotModelledError(f"variable, or wildcard inside a part of an ARN, in resource {resource}")
        matched = request.resource.like(*resources)
        found["Resource"] = matched if "Resource" in statement else z3.Not(matched)
    for operator, block in statement.get("Condition", {}).items():
        for name, values in block.items():
            found[f"{operator} {name}"] = _condition(operator, name, listed(values), request)
    return found


def _applies(statement: Statement, request: Request, *, trust: bool = False) -> Any:
    return all_of(*parts(statement, request, trust=trust).values())


def _condition(operator: str, name: str, values: Sequence[str], request: Request) -> Any:
    key = request.key(name)
    qualifier, _, rest = operator.rpartition(":")
    base = rest.removesuffix("IfExists")
    if base == "Null":
        return any_of(*(z3.Not(key.present) if value == "true" else key.present for value in values))
    negated = "Not" in base
    matched = any_of(*(_matches(base.replace("Not", ""), key, str(value), request) for value in values))
    holds = z3.Not(matched) if negated else matched
    # Every key has at most one value: without any, ForAllValues holds and ForAnyValue does not.
    absent = {"": negated or base != rest, "ForAllValues": True, "ForAnyValue": False}[qualifier]
    return z3.If(key.present, holds, z3.BoolVal(absent))


def _matches(operator: str, key: Key, value: str, request: Request) -> Any:
    has_variable = _VARIABLE.search(value)
    match operator:
        case "StringLike" if has_variable and key.field:
            # Only the variable that the policies use, at the beginning of a prefix.
            variable = re.fullmatch(r"\$\{aws:PrincipalAccount\}([^*?$]*)\*", value)
            if not variable:
                raise NotModelledError(f"policy variable in {value}")
            return request.account.begins(key.field, variable[1]) if request.is_iam else FALSE
        case "StringEquals" if not has_variable and patterns.is_literal(value):
            return key.like(value)
        case "StringLike" if not has_variable:
            return key.like(value)
        case "ArnEquals" | "ArnLike" if not has_variable:
            return key.arn_like(value)
        case "Bool" if value in {"true", "false"}:
            return key.like(value)
    raise NotModelledError(f"{operator} with {value}")
