"""The corpus of edits: no gain is called no change, nothing ends in a traceback, and most legal edits are judged."""

import re
from collections import Counter
from functools import cache

import pytest

from cross_account_access.engine.diff import diff
from cross_account_access.engine.sources import Source, UnreadableError, load
from cross_account_access.templates import PROJECT
from tests.templates.access import concrete
from tests.templates.access.edits import base, bases, edits

pytestmark = pytest.mark.slow
# What may be said of an edit with an effect. Not judged is never wrong, but counted.
RIGHT = {
    "gain": {"gain", "not judged"},
    "loss": {"loss", "not judged"},
    "both": {"both", "not judged"},
    "none": {"none", "not judged"},
    "unknown": {"gain", "both", "not judged"},
    "legal": {"gain", "loss", "both", "none", "not judged"},
}
REFUSED = "not judged"
KINDS = sorted({edit.kind for edit in edits()})


@cache
def read(text: str) -> Source | UnreadableError:
    try:
        return load(text, "template.yaml")
    except UnreadableError as error:
        return error


def judge(before: str, after: str) -> str:
    """Say in a word what comes of a comparison; a gain counts even if something else was not judged."""
    base, head = read(before), read(after)
    assert isinstance(base, Source)
    if not isinstance(head, Source):
        return REFUSED
    found = diff([base], [head])
    assert found.exit_code in {0, 1, 2}
    assert not [item for item in found.not_judged if "failed" in item.what]
    gained, lost = ({change.gained for change in found.changes} >= {gained} for gained in (True, False))
    if not gained and found.not_judged:
        return REFUSED
    return {(True, True): "both", (True, False): "gain", (False, True): "loss", (False, False): "none"}[gained, lost]


def row(kind: str) -> str:
    """Judge the edits of a kind, and return the row of docs/security.md on what was said of them."""
    counts: Counter[tuple[str, bool]] = Counter()
    wrong, refused, own = [], [], set(map(base, bases()))
    for edit in (edit for edit in edits() if edit.kind == kind):
        found = judge(edit.base, edit.head)
        counts["gain" if {"gain", "both", "unknown"} & {*edit.effects} else "other", found == REFUSED] += 1
        if not any(found in RIGHT[effect] for effect in edit.effects):
            wrong.append(f"{edit.title}: {found}")
        if found == REFUSED and "unknown" not in edit.effects:
            refused.append(edit.title)
        # Where the answer is "no change", another judge agrees.
        if found == "none" and edit.effects == ("none",) and edit.base in own:
            assert concrete.disagreement(edit.base, edit.head, str(edit)) is None, edit
    assert wrong == []
    assert len(refused) <= counts.total() / 10, refused
    columns = [counts["gain", False], counts["gain", True], counts["other", False], counts["other", True]]
    return f"| {kind} | {counts.total()} | {' | '.join(map(str, columns))} |"


@pytest.mark.parametrize("kind", KINDS)
def test_the_edits_of_a_kind_are_answered_by_their_true_effects_as_documented(kind: str) -> None:
    assert row(kind) in (PROJECT / "docs/security.md").read_text("utf-8").splitlines()


def test_the_documentation_has_the_table() -> None:
    text = (PROJECT / "docs/security.md").read_text("utf-8")
    (table,) = re.findall(r"^\| kind \| edits .*\n.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert [line.split("|")[1].strip() for line in table.splitlines()] == KINDS


if __name__ == "__main__":
    print("| kind | edits | gains found | gains not judged | others right | others not judged |")  # noqa: T201
    print("| --- | --: | --: | --: | --: | --: |", *map(row, KINDS), sep="\n")  # noqa: T201
