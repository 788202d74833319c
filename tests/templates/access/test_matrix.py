"""An oracle and the logic of the proofs decide on requests as intended, and on wrong policies alike."""

# ruff: noqa: S311 - the same sample each time
import random
from pathlib import Path

import pytest

from cross_account_access import matrix
from cross_account_access.engine.case import Case
from cross_account_access.engine.decision import decide
from cross_account_access.model import load
from cross_account_access.variants import variants
from tests.templates.access import oracles
from tests.templates.access.cases import calls, cases
from tests.templates.access.mutations import faults

pytestmark = pytest.mark.slow
VARIANTS = variants()
NARROWED = VARIANTS["narrowed"]


def chosen(requests: list[Case], count: int, chance: random.Random) -> list[Case]:
    """Some of those that are intended, and some of all."""
    intended = [case for case in requests if case.intended]
    return chance.sample(intended, min(count // 4, len(intended))) + chance.sample(requests, min(count, len(requests)))


@pytest.mark.parametrize("name", [*VARIANTS, "another API"])
def test_an_oracle_and_the_logic_of_the_proofs_decide_as_intended(name: str, second: Path) -> None:
    model = VARIANTS[name] if name in VARIANTS else load(second)
    chance, documents = random.Random(1), matrix.documents(model)
    requests = chosen(cases(model) if name in VARIANTS else list(calls(model)), 600, chance)
    decisions = oracles.reach(requests, documents)
    assert [str(case) for case, found in zip(requests, decisions, strict=True) if found is not case.intended] == []
    assert sum(map(bool, decisions)) > 10
    few = chosen(requests, 50, chance)
    assert [str(case) for case in few if decide(case, documents).allowed is not case.intended] == []


def test_the_logic_of_the_proofs_and_the_oracle_agree_on_wrong_policies_too() -> None:
    """Faulty policies reach corners of the logic that the right ones do not: negations, missing keys, NotPrincipal."""
    chance = random.Random(2)
    requests = cases(NARROWED)
    compared = {True: 0, False: 0}
    judged = {name for case in requests for name in (case.policy, *case.identity)} & set(NARROWED.documents)
    wrong = [fault for fault in faults(NARROWED) if fault.document in judged]
    for fault in chance.sample(wrong, 60):
        concerned = chosen([case for case in requests if fault.document in (case.policy, *case.identity)], 4, chance)
        documents = matrix.documents(fault.model)
        for case, decision in zip(concerned, oracles.reach(concerned, documents), strict=True):
            if decision is not None:
                assert decide(case, documents).allowed is decision, f"{fault.name}: {case}"
                compared[decision] += 1
    assert min(compared.values()) > 25
