"""Edits of templates, each with its true effect on access.

A file has groups: a base template (a file in `bases`, or written out), a kind, and edits. The first key of an edit is
its effect, and the value says what it is:

- `gain`, `loss`, `both`, `none`: what somebody may do more or less afterwards;
- `unknown`: nobody can tell from the templates, so it must not be called none;
- `legal`: an ordinary edit, for which there is more than one right answer; it must be answered.

`from` and `to` replace a text that occurs once; further lines are indented like the first. `swaps` are several of them,
`add` is added to the end, as resources.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
EFFECTS = ("gain", "loss", "both", "none", "unknown", "legal")


@dataclass(frozen=True)
class Edit:
    """One edit."""

    kind: str
    effects: tuple[str, ...]
    title: str
    base: str
    head: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.title}"


@cache
def edits() -> tuple[Edit, ...]:
    """Return all edits."""
    return tuple(edit for path in sorted(HERE.glob("*.yaml")) for edit in _of(path))


@cache
def base(name: str) -> str:
    """Return a template that edits begin with."""
    return (HERE / "bases" / f"{name}.yaml").read_text()


def swap(text: str, old: str, new: str) -> str:
    """Replace a text that occurs once; lines after the first are indented like the first."""
    old, new, found = old.rstrip("\n"), new.rstrip("\n"), []
    first = old.partition("\n")[0]
    position = text.find(first)
    while position >= 0:
        indent = "\n" + " " * (position - text.rfind("\n", 0, position) - 1)
        if text.startswith(old.replace("\n", indent), position):
            found.append((position, indent))
        position = text.find(first, position + 1)
    if len(found) != 1:
        raise ValueError(f"{len(found)} places, not one, for {old!r}")
    [(position, indent)] = found
    end = position + len(old.replace("\n", indent))
    return text[:position] + new.replace("\n", indent) + text[end:]


def _of(path: Path) -> Iterator[Edit]:
    for group in yaml.safe_load(path.read_text()):
        before = group["base"] if "\n" in group["base"] else base(group["base"])
        for item in group["edits"]:
            yield _edit(group["kind"], before, item)


def _edit(kind: str, before: str, item: dict[str, Any]) -> Edit:
    [effects, title] = next(iter(item.items()))
    known = tuple(effects.split(" or "))
    if set(known) - set(EFFECTS) or set(item) - {effects, "why", "from", "to", "swaps", "add"}:
        raise ValueError(f"what is {item}?")
    after = before
    for old, new in [*item.get("swaps", ()), *([(item["from"], item["to"])] if "from" in item else [])]:
        try:
            after = swap(after, old, new)
        except ValueError as error:
            raise ValueError(f"{title}: {error}") from error
    if "add" in item:
        after = after.rstrip("\n") + "\n" + "".join(f"  {line}\n" for line in item["add"].splitlines())
    if after == before:
        raise ValueError(f"{title}: changes nothing")
    return Edit(kind, known, title, before, after)
