"""An oracle and the logic of the proofs decide thousands of requests, each as intended."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cross_account_access import matrix
from cross_account_access.engine.case import Case
from cross_account_access.engine.decision import decide
from cross_account_access.model import Model, load
from cross_account_access.variants import variants
from tests.templates.access import oracles
from tests.templates.access.cases import calls, cases
from tests.templates.access.mutations import faults

VARIANTS = variants()
NARROWED = VARIANTS["narrowed"]


@pytest.mark.slow
@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS)
def test_reach_decides_as_intended(model: Model) -> None:
    requests = cases(model)
    assert disagreements(requests, oracles.reach(requests, matrix.documents(model))) == []
    assert len(requests) > 7000
    assert sum(case.intended for case in requests) > 50


@pytest.mark.slow
def test_reach_decides_as_intended_about_another_api(second: Path) -> None:
    model = load(second)
    requests = list(calls(model))
    assert disagreements(requests, oracles.reach(requests, matrix.documents(model))) == []
    assert sum(case.intended for case in requests) > 10


@pytest.mark.slow
def test_the_logic_of_the_proofs_decides_as_intended() -> None:
    requests = cases(NARROWED)
    chance = random.Random(1)  # noqa: S311 - the same sample each time
    chosen = [case for case in requests if case.intended] + chance.sample(requests, 150)
    documents = matrix.documents(NARROWED)
    assert disagreements(chosen, [decide(case, documents).allowed for case in chosen]) == []


@pytest.mark.slow
def test_the_logic_of_the_proofs_and_reach_agree_on_wrong_policies_too() -> None:
    """Faulty policies reach corners of the logic that the right ones do not: negations, missing keys, NotPrincipal."""
    chance = random.Random(2)  # noqa: S311 - the same sample each time
    requests = cases(NARROWED)
    compared = {True: 0, False: 0}
    judged = {name for case in requests for name in (case.policy, *case.identity)} & set(NARROWED.documents)
    wrong = [fault for fault in faults(NARROWED) if fault.document in judged]
    for fault in chance.sample(wrong, 60):
        concerned = [case for case in requests if fault.document in (case.policy, *case.identity)]
        intended = [case for case in concerned if case.intended]
        chosen = chance.sample(intended, min(3, len(intended))) + chance.sample(concerned, 4)
        documents = matrix.documents(fault.model)
        decisions = oracles.reach(chosen, documents)
        for case, decision in zip(chosen, decisions, strict=True):
            if decision is None:
                continue
            assert decide(case, documents).allowed is decision, f"{fault.name}: {case}"
            compared[decision] += 1
    assert compared[True] > 50
    assert compared[False] > 50


def disagreements(requests: list[Case], decisions: list[bool | None]) -> list[str]:
    return [
        f"{case}: {decision}"
        for case, decision in zip(requests, decisions, strict=True)
        if decision is not case.intended
    ]
