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
from cross_account_access.model import load
from cross_account_access.variants import variants
from tests.templates.access.cases import calls, cases
from tests.templates.access.mutations import faults

pytestmark = pytest.mark.slow
VARIANTS = variants()
NARROWED = VARIANTS["narrowed"]


# The policy of a resource that has none.
NONE: Document = {"Version": "2012-10-17", "Statement": []}


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
    chance, documents = random.Random(1), matrix.documents(model)
    requests = cases(model) if name in VARIANTS else list(calls(model))
    found = compared(chance.sample(requests, len(requests) // 2), documents, 20, chance)
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
    chance, requests = random.Random(2), cases(NARROWED)
    judged = {name for case in requests for name in (case.policy, *case.identity)} & set(NARROWED.documents)
    found = []
    for fault in chance.sample([fault for fault in faults(NARROWED) if fault.document in judged], 60):
        concerned = [case for case in requests if fault.document in (case.policy, *case.identity)]
        found += compared(chance.sample(concerned, min(40, len(concerned))), matrix.documents(fault.model), 2, chance)
    assert min(map(found.count, (True, False))) > 25
