"""A report of changes of access as text: for a terminal, a pull request, a program, or code scanning."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cross_account_access.engine.diff import Change, NotJudged, Report

# Of each kind, for people; programs get all.
_MOST_LINES = 40
_GAINED, _LOST, _UNJUDGED = "access-gained", "access-lost", "access-not-judged"
_RULES = {
    _GAINED: ("error", "Somebody may do what the older revision refused."),
    _LOST: ("note", "Somebody may no longer do what the older revision allowed."),
    _UNJUDGED: ("warning", "What this does to access is not known."),
}


def summary(report: Report) -> str:
    """Return the result in a few words."""
    gained, lost = (sum(_count(change) for change in report.changes if change.gained is kind) for kind in (True, False))
    parts = [f"Access gained: {gained}. Access lost: {lost}."] if report.changes else []
    if report.not_judged:
        parts.append(f"Not judged: {len(report.not_judged)}.")
    return " ".join(parts) or "No change of access in what was compared."


def compared(report: Report) -> str:
    """Return what a result speaks of."""
    return "Compared: " + ", ".join(
        f"{count} {what if count != 1 else what.removesuffix('s')}" for what, count in report.compared.items()
    )


def terminal(report: Report) -> RenderableType:
    """Return a report for a terminal."""
    style = {0: "bold green", 1: "bold red", 2: "bold yellow"}[report.exit_code]
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for change in _shown(report.changes):
        mark = Text("+ gained", "bold red") if change.gained else Text("- lost", "bold yellow")
        text = Text(f"{change.who}: {change.what}", "bold")
        for label, value in _details(change):
            text.append(f"\n{label} {value}", "none")
        table.add_row(mark, text)
    for item in report.not_judged[:_MOST_LINES]:
        table.add_row(Text("? not judged", "bold yellow"), Text(_sentence(item)))
    for item in report.accepted:
        table.add_row(Text("  accepted", "dim"), Text(_sentence(item), "dim"))
    rest = [Text(f"… and {line}") for line in _left_out(report)]
    held = [Text(f"Held fixed: {sentence}.", "dim") for sentence in report.held_fixed]
    return Group(
        Text(summary(report), style), *([table] if table.row_count else []), *rest, Text(compared(report), "dim"), *held
    )


def markdown(report: Report, base: str, head: str) -> str:
    """Return a report as Markdown."""
    lines = ["## Access", "", f"{summary(report)} (`{base}` → `{head}`)", ""]
    shown = list(_shown(report.changes))
    if shown:
        lines += ["| | who | what | where | decided by |", "|---|---|---|---|---|"]
        lines += [
            f"| {_mark(change)} | {_cell(change.who)} | {_code(change.what)}{_more(change)} | {_cell(change.where)} "
            f"| {_code(*change.decided_by)} |"
            for change in shown
        ]
        lines += ["", "<details><summary>Witness requests</summary>", ""]
        for change in shown:
            lines.append(f"- {_mark(change)}: {_cell(change.who)}, {_code(change.what)}")
            lines += [f"  - {label} {_code(value)}" for label, value in _details(change)]
        lines += ["", "</details>", ""]
    if report.not_judged:
        lines += ["**Not judged:**", ""]
        lines += [
            f"- {_code(item.template, item.name)}: {_cell(item.what)}" for item in report.not_judged[:_MOST_LINES]
        ]
        lines.append("")
    if report.accepted:
        lines += ["Not judged, and accepted:", ""]
        lines += [f"- {_code(item.template, item.name)}: {_cell(item.what)}" for item in report.accepted] + [""]
    lines += [f"… and {line}" for line in _left_out(report)]
    lines += [f"<sub>{compared(report)}. Held fixed: {_cell('; '.join(report.held_fixed))}.</sub>", ""]
    return "\n".join(lines)


def as_json(report: Report, base: str, head: str) -> str:
    """Return a report as JSON."""
    found = {
        "base": base,
        "head": head,
        "summary": summary(report),
        "exit_code": report.exit_code,
        "changes": [asdict(change) for change in report.changes],
        "not_judged": [asdict(item) for item in report.not_judged],
        "accepted": [asdict(item) for item in report.accepted],
        "compared": dict(report.compared),
        "held_fixed": list(report.held_fixed),
    }
    return json.dumps(found, indent=2)


def sarif(report: Report, texts: Mapping[str, str]) -> str:
    """Return a report in the Static Analysis Results Interchange Format 2.1.0, for code scanning.

    Args:
        report: What was found.
        texts: The newer revision's templates by name, to find the lines.
    """
    results = [
        _result(
            _GAINED if change.gained else _LOST,
            f"{change.who}: {change.what}" + (f" (where {change.where})" if change.where else ""),
            change.template,
            _line(texts.get(change.template, ""), [re.split(r"[ :]", label)[0] for label in change.decided_by]),
        )
        for change in report.changes
    ]
    results += [
        _result(_UNJUDGED, _sentence(item), item.template, _line(texts.get(item.template, ""), [item.name]))
        for item in report.not_judged
    ]
    rules = [
        {"id": rule, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}
        for rule, (level, text) in _RULES.items()
    ]
    driver = {"name": "access-diff", "rules": rules}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps(
        {"$schema": schema, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}, indent=2
    )


def _result(rule: str, text: str, template: str, line: int) -> dict[str, Any]:
    fingerprint = hashlib.sha256(f"{rule}\n{template}\n{text}".encode()).hexdigest()
    place = {"artifactLocation": {"uri": template}, "region": {"startLine": line}}
    return {
        "ruleId": rule,
        "level": _RULES[rule][0],
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"access/v1": fingerprint},
    }


def _line(text: str, names: Sequence[str]) -> int:
    """Return the line on which the first of the names is defined, or 1."""
    for name in filter(None, names):
        if found := re.search(rf"""^\s+["']?{re.escape(name)}["']?\s*:""", text, re.MULTILINE):
            return text.count("\n", 0, found.end()) + 1
    return 1


def _shown(changes: Sequence[Change]) -> Iterator[Change]:
    for gained in (True, False):
        yield from [change for change in changes if change.gained is gained][:_MOST_LINES]


def _left_out(report: Report) -> Iterator[str]:
    for what, found in (
        ("more gained", [change for change in report.changes if change.gained]),
        ("more lost", [change for change in report.changes if not change.gained]),
        ("more not judged", report.not_judged),
    ):
        if len(found) > _MOST_LINES:
            yield f"{len(found) - _MOST_LINES} {what}; --format json has all"


def _count(change: Change) -> int:
    return 1 + change.more


def _more(change: Change) -> str:
    return f" and {change.more} more like it" if change.more else ""


def _mark(change: Change) -> str:
    return "**gained**" if change.gained else "lost"


def _details(change: Change) -> list[tuple[str, str]]:
    details = [("witness:", str(change.witness) if change.witness else ""), ("where:  ", change.where)]
    details += [("before: ", change.before), ("after:  ", change.after)]
    details += [("decides:", ", ".join(change.decided_by)), ("alike:  ", f"{change.more} more" if change.more else "")]
    return [(label, value) for label, value in details if value]


def _sentence(item: NotJudged) -> str:
    return f"{item.template}{f', {item.name}' if item.name else ''}: {item.what}"


def _cell(text: str) -> str:
    return re.sub(r"([|<>\\`*_\[\]])", r"\\\1", text).replace("\n", " ")


def _code(*texts: str) -> str:
    """Quote arbitrary text, so that it stays in its cell and Markdown ignores its content."""
    quoted = (text.replace("|", "\\|").replace("\n", " ").replace("`", "'") for text in texts if text)
    return ", ".join(f"`{text}`" for text in quoted)
