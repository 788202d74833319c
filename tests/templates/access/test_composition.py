"""Several edits at once are answered as well as one, and where the answer is "no change", another judge agrees."""

# ruff: noqa: S311 - the same choices each time
import contextlib
import random
from functools import cache

import pytest
from reach.policy import PolicyError

from cross_account_access.engine.diff import diff
from cross_account_access.engine.sources import UnreadableError, load
from tests.templates.access import concrete
from tests.templates.access.edits import HERE, Edit, base, edits
from tests.templates.access.edits.rewrites import REWRITES, read, write
from tests.templates.access.test_edits import RIGHT, report, verdict

pytestmark = pytest.mark.slow
BASES = sorted(path.stem for path in (HERE / "bases").glob("*.yaml"))
WORDS = ["222222222222", "arn:aws:iam::222222222222:role/job", "222222222222-*", "o-aaaaaaaaaa"]
# Values of a parameter and requests for each that is answered with "no change".
PARAMETERS, REQUESTS = 3, 60


def judge(before: str, after: str) -> str:
    try:
        return verdict(diff([load(before, "template.yaml")], [load(after, "template.yaml")]))
    except UnreadableError:
        return "not judged"


def disagreement(before: str, after: str, seed: str) -> concrete.Request | None:
    """Return a request that the other judge allows in one revision only."""
    chance = random.Random(seed)
    templates = read(before), read(after)
    for number in range(PARAMETERS):
        values = [concrete.defaults(template, random.Random(f"{seed}{number}"), WORDS) for template in templates]
        shared = {**values[1], **values[0]}
        one, other = (
            concrete.stack(template, {name: shared[name] for name in template.get("Parameters") or {}})
            for template in templates
        )
        for request in concrete.requests(one, other, REQUESTS, chance):
            answers = [concrete.allowed(stack, request) for stack in (one, other)]
            if None not in answers and answers[0] != answers[1]:
                return request
        assert one.carriers == other.carriers
    return None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", BASES)
def test_equal_rewrites_of_equal_rewrites_are_no_change(name: str, seed: int) -> None:
    chance = random.Random(f"{name}{seed}")
    chosen = chance.sample(REWRITES, 4)
    template = read(base(name))
    for rewrite in chosen:
        template = rewrite(template, chance)
    assert judge(base(name), write(template)) in RIGHT["none"], [rewrite.__name__ for rewrite in chosen]
    assert disagreement(base(name), write(template), f"{name}{seed}") is None


@cache
def composed() -> list[tuple[list[Edit], str]]:
    """Choose edits of one base that can be made together and have one effect at most besides none."""
    chance = random.Random(7)
    found: list[tuple[list[Edit], str]] = []
    while len(found) < 40:
        name = chance.choice(BASES)
        known = [edit for edit in edits() if edit.base == base(name) and {*edit.effects} <= {"gain", "none", "loss"}]
        chosen = sorted(chance.sample(known, chance.choice([2, 2, 3])), key=lambda edit: edit.kind == "refactoring")
        if len({effect for edit in chosen for effect in edit.effects} - {"none"}) > 1:
            continue
        text = base(name)
        try:
            for edit in chosen:
                text = edit.of(text)
            load(text, "template.yaml")
        except (ValueError, UnreadableError):
            continue  # two that cannot be made together
        found.append((chosen, text))
    return found


@pytest.mark.parametrize("number", range(40))
def test_edits_made_together_are_answered_by_their_effect(number: int) -> None:
    chosen, text = composed()[number]
    effects = {effect for edit in chosen for effect in edit.effects} - {"none"} or {"none"}
    found = judge(chosen[0].base, text)
    right = {answer for effect in effects for answer in RIGHT[effect]} | ({"both"} if effects != {"none"} else set())
    assert found in right, [str(edit) for edit in chosen]
    if found == "none":
        assert disagreement(chosen[0].base, text, str(number)) is None


CALLED_NONE = [edit for edit in edits() if edit.base in {base(name) for name in BASES} and edit.effects == ("none",)]


@pytest.mark.parametrize("edit", CALLED_NONE, ids=str)
def test_another_judge_agrees_with_no_change(edit: Edit) -> None:
    found = verdict(report(edit))
    assert found in RIGHT["none"]
    if found == "none":
        assert disagreement(edit.base, edit.head, str(edit)) is None


def test_the_other_judge_sees_gains() -> None:
    """Else its agreement would say nothing."""
    chance = random.Random(5)
    inside = [edit for edit in edits() if edit.kind == "statement" and edit.effects == ("gain",)]
    seen = 0
    for edit in chance.sample(inside, 25):
        with contextlib.suppress(NotImplementedError, PolicyError):  # forms that it does not read
            seen += disagreement(edit.base, edit.head, str(edit)) is not None
    assert seen > 8
