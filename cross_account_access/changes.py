"""Access changes as text: for a terminal, a pull request, or a program."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cross_account_access.diff import Change


def summary(changes: Sequence[Change]) -> str:
    """Return the result in one sentence."""
    gained = sum(change.gained for change in changes)
    if not changes:
        return "No change of access: both revisions allow exactly the same requests."
    return f"Access gained: {gained}. Access lost: {len(changes) - gained}."


def terminal(changes: Sequence[Change]) -> RenderableType:
    """Return changes as a table for a terminal."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for change in changes:
        mark = Text("+ gained", "bold red") if change.gained else Text("- lost", "bold yellow")
        text = Text(f"{change.who}: {change.what}", "bold")
        for label, value in _details(change):
            text.append(f"\n{label} {value}", "none")
        table.add_row(mark, text)
    gained = any(change.gained for change in changes)
    return Group(Text(summary(changes), "bold red" if gained else "bold green"), *([table] if changes else []))


def markdown(changes: Sequence[Change], base: str, head: str) -> str:
    """Return changes as Markdown."""
    lines = ["## Access", "", f"{summary(changes)} (`{base}` → `{head}`)", ""]
    if changes:
        lines += ["| | who | what | decided by | parameters |", "|---|---|---|---|---|"]
        lines += [
            f"| {'**gained**' if change.gained else 'lost'} | {_cell(change.who)} | {_code(change.what)} "
            f"| {_code(*change.decided_by)} | {change.variant} |"
            for change in changes
        ]
        lines += ["", "<details><summary>Witness requests</summary>", ""]
        for change in changes:
            lines.append(f"- {'**gained**' if change.gained else 'lost'}: {_cell(change.who)}, {_code(change.what)}")
            lines += [f"  - {label} {_code(value)}" for label, value in _details(change)]
        lines += ["", "</details>", ""]
    return "\n".join(lines)


def as_json(changes: Sequence[Change], base: str, head: str) -> str:
    """Return changes as JSON."""
    found = [asdict(change) | {"witness": change.witness and asdict(change.witness)} for change in changes]
    return json.dumps({"base": base, "head": head, "changes": found}, indent=2)


def _details(change: Change) -> list[tuple[str, str]]:
    details = [("witness:", str(change.witness) if change.witness else "")]
    details += [("before: ", change.before), ("after:  ", change.after)]
    details += [("decides:", ", ".join(change.decided_by))]
    return [(label, value) for label, value in details if value]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(*texts: str) -> str:
    """Quote arbitrary text, so that it stays in its cell and Markdown ignores its content."""
    return ", ".join(f"`{_cell(text).replace('`', chr(39))}`" for text in texts)
