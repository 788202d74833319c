"""The decision on one request, and the statement that makes it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import z3

from cross_account_access.documents import Document
from cross_account_access.engine.case import Case
from cross_account_access.engine.evaluator import allowed, identity_allows, parts
from cross_account_access.engine.fields import TRUE, no
from cross_account_access.engine.request import TYPES, Kind, Request

_KINDS = {"": Kind.SERVICE, **{name: kind for kind, name in TYPES.items()}}


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and why."""

    allowed: bool
    reason: str  # a sentence
    statements: Mapping[str, Any]  # those that decide, by `document: Sid`


def decide(case: Case, documents: Mapping[str, Document]) -> Decision:
    """Decide a request; condition keys that it does not have are absent."""
    request = Request(_KINDS[case.principal.type], {})
    # The policy of a role or key must allow even principals of its own account.
    trust = case.policy.endswith(" trust") or case.resource.startswith("arn:aws:kms:")
    identity = identity_allows(request, [entry for name in case.identity for entry in documents[name]["Statement"]])
    decision = identity
    if case.policy:
        owner = case.resource.split(":")[4]
        resource_policy = documents[case.policy]["Statement"]
        decision = allowed(request, resource_policy, owner=owner, identity=identity, trust=trust)
    matches = {
        label: (statement, parts(statement, request, trust=trust and name == case.policy))
        for name in filter(None, (case.policy, *case.identity))
        for label, statement in labelled(name, documents[name])
    }
    solver = z3.Solver()
    given = list(_given(case, request))
    solver.add(request.guarantees, *given)
    if solver.check() != z3.sat:
        raise AssertionError(f"no such request: {case}")

    model = solver.model()

    def holds(formula: Any) -> bool:
        # What is not so in one model does not follow.
        return z3.is_true(model.eval(formula, True)) and bool(solver.check(no(formula)) == z3.unsat)

    applying = {label: statement for label, (statement, found) in matches.items() if all(map(holds, found.values()))}
    denying = {label: statement for label, statement in applying.items() if statement["Effect"] == "Deny"}
    if holds(decision):
        return Decision(True, f"{_and(applying)} allows it.", applying)
    if denying:
        return Decision(False, f"{_and(denying)} denies it, whatever else allows it.", denying)
    missing = {
        label: [name for name, formula in found.items() if not holds(formula)]
        for label, (statement, found) in matches.items()
        if statement["Effect"] == "Allow"
    }
    reasons = [f"{label} does not match on {_and(names)}" for label, names in missing.items() if names]
    if applying:
        reasons.insert(0, f"{_and(applying)} alone does not suffice")
    return Decision(False, f"Nothing allows it: {'; '.join(reasons) or 'there is no policy'}.", {})


def labelled(name: str, document: Document) -> Iterator[tuple[str, Any]]:
    """Iterate over a document's statements with their `document: Sid`."""
    for number, statement in enumerate(document["Statement"], 1):
        yield f"{name}: {statement.get('Sid', f'statement {number}')}", statement


def _given(case: Case, request: Request) -> Iterator[Any]:
    principal = case.principal
    yield request.action.equals(case.action.lower())
    yield request.resource.equals(case.resource)
    if request.kind is Kind.SERVICE:
        yield request.is_service(principal.arn)
    if request.is_iam:
        yield request.is_of(principal.account)
        yield request.principal_like(principal.arn)
        yield request.key("aws:userid").like(principal.user_id)
    context = {name.lower(): value for name, value in case.context.items()}
    for name, key in list(request.keys.items()):
        if not key.field or name == "aws:principaltype":
            continue
        if name in context:
            yield key.present
            yield key.field.equals(context[name])
        elif not key.present.eq(TRUE):
            yield no(key.present)


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)
