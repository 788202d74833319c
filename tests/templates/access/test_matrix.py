"""Another program and the logic of the proofs decide on requests alike, by the right policies and by wrong ones.

It is the reference evaluator of reach (the package `reach-security`, under the AGPL): nothing of it is deployed.
"""

# ruff: noqa: S311 - the same sample each time
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from reach.engine import Principal, ResourcePolicy
from reach.policy import parse_policy
from reach.reference import evaluate

from cross_account_access import matrix
from cross_account_access.documents import Document
from cross_account_access.engine.case import Case
from cross_account_access.engine.decision import decide
from cross_account_access.model import Model, load
from cross_account_access.variants import variants
from tests.templates.access import concrete
from tests.templates.access.mutations import faults

pytestmark = pytest.mark.slow
VARIANTS = variants()
# The policy of a resource that has none.
NONE: Document = {"Version": "2012-10-17", "Statement": []}
# What every request has, and what only those of services have.
PRESENT = {"aws:SecureTransport": "true", "sts:RoleSessionName": "job"}
OF_SERVICES = {"aws:sourcearn", "aws:sourceaccount"}


def cases(model: Model, count: int, chance: random.Random) -> list[Case]:
    """Make requests that fit some statement of a model, but for one thing or two now and then."""
    stack = concrete.Stack()
    policies = {}
    for name, document in model.documents.items():
        owner, _, kind = name.rpartition(" ")
        arn = model.api_arn if owner == model.api else model.arn(owner)
        getattr(stack, kind)[arn] += document["Statement"]
        if kind != "identity":
            policies[arn] = name
    own = {role.arn: role for role in model.roles}
    found = []
    for request in concrete.requests(stack, stack, count, chance):
        context = PRESENT | {key: value for key, value in request.context if key.lower() not in OF_SERVICES}
        if role := own.get(request.principal):
            principal, identity = matrix.session_of(role, context["sts:RoleSessionName"]), [f"{role.name} identity"]
        else:
            account, _, name = request.principal.removeprefix("arn:aws:iam::").partition(":")
            kind, _, name = name.partition("/")
            principal = matrix.role(account, name) if kind == "role" else matrix.user(account, name)
            identity = chance.choice([["administrator"], []])
        of_api = request.resource.startswith(f"{model.api_arn}/")
        policy = policies.get(model.api_arn if of_api else request.resource, "")
        found.append(Case(principal, request.action, request.resource, tuple(identity), policy, context))
    return found


def reach(cases: Iterable[Case], documents: Mapping[str, Document]) -> list[bool | None]:
    """Return whether the other program allows each request; None where it does not know."""
    parsed = {name: parse_policy(document, name) for name, document in {"": NONE, **documents}.items()}
    found = []
    for case in cases:
        # Without a policy of the resource, that of the principal decides alone.
        owner = case.resource.split(":")[4] if case.policy else case.principal.account
        policy = ResourcePolicy(parsed[case.policy], owner, required=case.policy.endswith(" trust"))
        sender = Principal(case.principal.arn, [parsed[name] for name in case.identity])
        context = {**case.principal.context, **case.context}
        found.append(evaluate(sender, case.action, case.resource, context, resource_policy=policy))
    return found


def compared(requests: list[Case], documents: Mapping[str, Document], count: int, chance: random.Random) -> list[bool]:
    """Have some requests decided, of those that the other program allows and of those that it refuses."""
    decisions = list(zip(requests, reach(requests, documents), strict=True))
    found = []
    for answer in (True, False):
        alike = [case for case, decision in decisions if decision is answer]
        for case in chance.sample(alike, min(count, len(alike))):
            assert decide(case, documents).allowed is answer, case
            found.append(answer)
    return found


@pytest.mark.parametrize("name", [*VARIANTS, "another API"])
def test_requests_are_decided_alike(name: str, second: Path) -> None:
    model = VARIANTS[name] if name in VARIANTS else load(second)
    chance = random.Random(1)
    found = compared(cases(model, 2000, chance), matrix.documents(model), 20, chance)
    assert min(map(found.count, (True, False))) > 10


@pytest.mark.parametrize("name", ["defaults", "another API"])
def test_the_cells_of_the_report_are_decided_alike(name: str, second: Path) -> None:
    model = VARIANTS[name] if name in VARIANTS else load(second)
    of = [subject for subject in (matrix.subject(model), matrix.access_subject(model)) if subject]
    cells = [cell for each in of for row in matrix.rows(model, each) for cell in row.cells]
    decisions = reach([cell.case for cell in cells], matrix.documents(model))
    assert [cell.decision.allowed for cell in cells] == decisions
    assert len(of) == (2 if name == "defaults" else 1)
    assert len(cells) == sum(10 * len(matrix.columns(each)) for each in of)


def test_requests_are_decided_alike_by_wrong_policies_too() -> None:
    """They reach corners of the logic that the right ones do not: negations, missing keys, NotPrincipal."""
    chance = random.Random(2)
    found = []
    for fault in chance.sample([*faults(VARIANTS["narrowed"])], 60):
        requests = cases(fault.model, 400, chance)
        concerned = [case for case in requests if fault.document in (case.policy, *case.identity)][:40]
        found += compared(concerned, matrix.documents(fault.model), 2, chance)
    assert min(map(found.count, (True, False))) > 25
