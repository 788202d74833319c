"""Edits of templates, each with its true effect on access.

A file has groups: a base template (a file in `bases`, or written out), a kind, and edits. The first key of an edit is
its effect, and the value says what it is:

- `gain`, `loss`, `both`, `none`: what somebody may do more or less afterwards;
- `unknown`: nobody can tell from the templates, so it must not be called none;
- `legal`: an ordinary edit, for which there is more than one right answer; it must be answered.

`from` and `to` replace a text that occurs once; further lines are indented like the first. `swaps` are several of them,
`add` is added to the end, as resources.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.templates.access.edits.rewrites import REWRITES, Rewrite, read, write

HERE = Path(__file__).parent
EFFECTS = ("gain", "loss", "both", "none", "unknown", "legal")


@dataclass(frozen=True)
class Edit:
    """One edit."""

    kind: str
    effects: tuple[str, ...]
    title: str
    base: str
    swaps: tuple[tuple[str, str], ...]
    added: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.title}"

    @cached_property
    def head(self) -> str:
        return self.of(self.base)

    def of(self, text: str) -> str:
        """Edit a template, which may be edited already.

        Raises:
            ValueError: It has not exactly one place for each swap.
        """
        for old, new in self.swaps:
            text = swap(text, old, new)
        lines = "".join(f"  {line}\n" for line in self.added.splitlines())
        return f"{text.rstrip()}\n{lines}"


@cache
def edits() -> tuple[Edit, ...]:
    """Return all edits, and every rewrite of every base."""
    written = [edit for path in sorted(HERE.glob("*.yaml")) for edit in _of(path)]
    return (*written, *_rewrites())


def bases() -> list[str]:
    """Return the names of the templates that edits begin with."""
    return sorted(path.stem for path in (HERE / "bases").glob("*.yaml"))


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
    for group in yaml.load(path.read_text(), yaml.CSafeLoader):
        before = group["base"] if "\n" in group["base"] else base(group["base"])
        for item in group["edits"]:
            yield _edit(group["kind"], before, item)


def _edit(kind: str, before: str, item: dict[str, Any]) -> Edit:
    [effects, title] = next(iter(item.items()))
    known = tuple(effects.split(" or "))
    if set(known) - set(EFFECTS) or set(item) - {effects, "why", "from", "to", "swaps", "add"}:
        raise ValueError(f"what is {item}?")
    swaps = (*map(tuple, item.get("swaps", ())), *([(item["from"], item["to"])] if "from" in item else []))
    return Edit(kind, known, title, before, swaps, item.get("add", ""))


@dataclass(frozen=True)
class _Rewritten(Edit):
    rewrite: Rewrite = REWRITES[0]

    def of(self, text: str) -> str:
        return write(self.rewrite(read(text), random.Random(self.title)))  # noqa: S311 - the same each time


def _rewrites() -> Iterator[Edit]:
    for name in bases():
        for rewrite in REWRITES:
            title = f"{name}: {(rewrite.__doc__ or '').rstrip('.')}"
            yield _Rewritten("refactoring", ("none",), title, base(name), (), rewrite=rewrite)
