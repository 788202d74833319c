"""Several edits at once are answered as well as one, and where the answer is "no change", another judge agrees."""

# ruff: noqa: S311 - the same choices each time
import contextlib
import random
from collections.abc import Iterator
from itertools import islice

import pytest
from reach.policy import PolicyError

from cross_account_access.engine.sources import UnreadableError, load
from tests.templates.access import concrete
from tests.templates.access.edits import Edit, base, bases, edits
from tests.templates.access.test_edits import RIGHT, judge

pytestmark = pytest.mark.slow


def composed() -> Iterator[tuple[list[Edit], str]]:
    """Choose edits of one base that can be made together and have one effect at most besides none."""
    chance = random.Random(7)
    while True:
        text = before = base(chance.choice(bases()))
        known = [edit for edit in edits() if edit.base == before and {*edit.effects} <= {"gain", "none", "loss"}]
        chosen = sorted(chance.sample(known, chance.choice([2, 2, 3])), key=lambda edit: edit.kind == "refactoring")
        if len({effect for edit in chosen for effect in edit.effects} - {"none"}) > 1:
            continue
        try:
            for edit in chosen:
                text = edit.of(text)
            load(text, "template.yaml")
        except (ValueError, UnreadableError):
            continue  # two that cannot be made together
        yield chosen, text


def test_edits_made_together_are_answered_by_their_effect() -> None:
    for number, (chosen, text) in enumerate(islice(composed(), 40)):
        effects = {effect for edit in chosen for effect in edit.effects} - {"none"} or {"none"}
        found = judge(chosen[0].base, text)
        right = {answer for effect in effects for answer in RIGHT[effect]} | (
            {"both"} if effects != {"none"} else set()
        )
        assert found in right, [str(edit) for edit in chosen]
        if found == "none":
            assert concrete.disagreement(chosen[0].base, text, str(number)) is None


def test_the_other_judge_sees_gains() -> None:
    """Else its agreement would say nothing."""
    chance = random.Random(5)
    inside = [edit for edit in edits() if edit.kind == "statement" and edit.effects == ("gain",)]
    seen = 0
    for edit in chance.sample(inside, 25):
        with contextlib.suppress(NotImplementedError, PolicyError):  # forms that it does not read
            seen += concrete.disagreement(edit.base, edit.head, str(edit)) is not None
    assert seen > 8
