"""What the logic of the proofs decides on one request, and the statement by which it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import z3

from access.iam import Kind, Request, allowed, identity_allows, parts
from access.matrix import Case
from access.policies import Document

_KINDS = {"User": Kind.USER, "AssumedRole": Kind.ROLE, "Account": Kind.ROOT}
_KEYS = ("sts:ExternalId", "aws:MultiFactorAuthPresent", "sts:RoleSessionName", "aws:SecureTransport")


@dataclass(frozen=True)
class Decision:
    """A decision.

    Attributes:
        allowed: Whether the request is allowed.
        reason: Why, in a sentence.
        statements: The statements that decide, by `document: Sid`.
    """

    allowed: bool
    reason: str
    statements: Mapping[str, Any]


def decide(case: Case, documents: Mapping[str, Document]) -> Decision:
    """Decide one request, every field of it given.

    Args:
        case: The request.
        documents: The policies that it names.

    Returns:
        The decision.
    """
    request = Request(_KINDS[case.principal.type], {})
    trust = case.policy.endswith(" trust")
    identity = identity_allows(request, _statements(documents, *case.identity))
    resource_policy = _statements(documents, case.policy)
    owner = case.resource.split(":")[4]
    decision = allowed(request, resource_policy, owner=owner, identity=identity, trust=trust)
    matches = {
        f"{name}: {statement['Sid']}": (statement, parts(statement, request, trust=trust and name == case.policy))
        for name in (case.policy, *case.identity)
        for statement in documents[name]["Statement"]
    }
    given = _given(case, request)
    solver = z3.Solver()
    solver.add(request.guarantees, *given)

    def holds(formula: Any) -> bool:
        return bool(solver.check(z3.Not(formula)) == z3.unsat)

    applying = {label: statement for label, (statement, found) in matches.items() if all(map(holds, found.values()))}
    denying = {label: statement for label, statement in applying.items() if statement["Effect"] == "Deny"}
    if holds(decision):
        return Decision(True, f"{_list(applying)} allows it.", applying)
    if denying:
        return Decision(False, f"{_list(denying)} denies it, whatever else allows it.", denying)
    missing = {
        label: [name for name, formula in found.items() if not holds(formula)]
        for label, (statement, found) in matches.items()
        if statement["Effect"] == "Allow"
    }
    reasons = [f"{label} does not match on {_list(names)}" for label, names in missing.items() if names]
    if applying:
        reasons.insert(0, f"{_list(applying)} alone does not suffice")
    return Decision(False, f"Nothing allows it: {'; '.join(reasons) or 'there is no policy'}.", {})


def _given(case: Case, request: Request) -> list[Any]:
    given = [
        request.action.like(case.action.lower()),
        request.resource.like(case.resource),
        request.is_of(case.principal.account),
        request.is_principal(case.principal.arn),
        request.key("aws:userid").like(case.principal.user_id),
    ]
    for name in _KEYS:
        key = request.key(name)
        if name in case.context:
            # A value is no pattern: its own asterisk stands for itself.
            given += [key.present, key.like(case.context[name].replace("*", "asterisk"))]
        elif name in {"sts:ExternalId", "aws:MultiFactorAuthPresent"}:
            given.append(z3.Not(key.present))
    return given


def _statements(documents: Mapping[str, Document], *names: str) -> list[Any]:
    return [statement for name in names for statement in documents[name]["Statement"]]


def _list(names: Any) -> str:
    return " and ".join(names)
