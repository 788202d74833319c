"""The corpus of edits: no gain is called no change, nothing ends in a traceback, and most legal edits are judged."""

from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest

from cross_account_access.engine.diff import Report, diff
from cross_account_access.engine.sources import Source, UnreadableError, load
from cross_account_access.templates import PROJECT
from tests.templates.access.edits import Edit, edits

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


@cache
def read(text: str) -> Source | UnreadableError:
    try:
        return load(text, "template.yaml")
    except UnreadableError as error:
        return error


@cache
def report(edit: Edit) -> Report | UnreadableError:
    base, head = read(edit.base), read(edit.head)
    assert isinstance(base, Source)
    return diff([base], [head]) if isinstance(head, Source) else head


def verdict(found: Report | UnreadableError) -> str:
    """Say in a word what came of a comparison; a gain counts even if something else was not judged."""
    if not isinstance(found, Report):
        return REFUSED
    assert found.exit_code in {0, 1, 2}
    gained, lost = ({change.gained for change in found.changes} >= {gained} for gained in (True, False))
    if not gained and found.not_judged:
        return REFUSED
    return {(True, True): "both", (True, False): "gain", (False, True): "loss", (False, False): "none"}[gained, lost]


def is_right(edit: Edit, found: str) -> bool:
    return any(found in RIGHT[effect] for effect in edit.effects)


@pytest.mark.slow
@pytest.mark.parametrize("edit", edits(), ids=str)
def test_an_edit_is_answered_by_its_true_effect(edit: Edit) -> None:
    found = report(edit)
    assert is_right(edit, verdict(found)), found
    if isinstance(found, Report):
        assert not [item for item in found.not_judged if "failed" in item.what]


@pytest.mark.slow
def test_most_legal_edits_are_judged() -> None:
    legal = [edit for edit in edits() if "unknown" not in edit.effects]
    refused = [str(edit) for edit in legal if verdict(report(edit)) == REFUSED]
    assert len(refused) <= len(legal) / 10, refused


def table() -> Iterator[str]:
    """Yield the table of docs/security.md: how many edits of a kind have which effect, and what was said of them."""
    yield "| kind | edits | gains found | gains not judged | others right | others not judged |"
    yield "| --- | --: | --: | --: | --: | --: |"
    for kind in sorted({edit.kind for edit in edits()}):
        counts = Counter(
            ("gain" if {"gain", "both", "unknown"} & {*edit.effects} else "other", verdict(report(edit)) == REFUSED)
            for edit in edits()
            if edit.kind == kind
        )
        columns = [counts["gain", False], counts["gain", True], counts["other", False], counts["other", True]]
        yield f"| {kind} | {counts.total()} | {' | '.join(map(str, columns))} |"


@pytest.mark.slow
def test_the_documentation_has_the_table() -> None:
    documented = (PROJECT / "docs/security.md").read_text("utf-8").splitlines()
    assert [line for line in table() if line not in documented] == []


if __name__ == "__main__":
    print("\n".join(table()))  # noqa: T201
