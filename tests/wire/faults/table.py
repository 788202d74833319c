"""Writes the tables of docs/faults.md: `python -m tests.wire.faults.table`."""

import inspect
import re
from collections.abc import Iterator

from cross_account_access.templates import PROJECT
from tests.wire.faults import test_deliveries
from tests.wire.faults.cases import CASES, Case
from tests.wire.faults.queues import RECEIVES

DOCUMENT = PROJECT / "docs/faults.md"
_BEGIN, _END = "<!-- faults:begin -->", "<!-- faults:end -->"


def render() -> str:
    """Return both tables: faults of calls, and faults of deliveries."""
    head = "| fault | once | persistent | ends with | within | order made | deliveries | replay |"
    rows = (f"| {' | '.join(_cells(case))} |" for case in CASES)
    return "\n".join(["", head, "|---" * 8 + "|", *rows, "", *_deliveries(), ""])


def _cells(case: Case) -> Iterator[str]:
    yield case.fault
    yield "-" if case.transient is None else str(case.transient)
    yield str(case.attempts)
    yield f"`{case.error.__name__}`" if case.error else "success"
    yield f"{case.seconds:.0f} s"
    yield "yes" if case.ordered else "no"
    if case.error is None:
        yield from ("-", "-")
    else:
        yield "1" if case.parked else str(RECEIVES)
        yield "succeeds" if case.recovers else "after fixing the call"


def _deliveries() -> Iterator[str]:
    yield "| delivery | outcome |"
    yield "|---|---|"
    for name, test in inspect.getmembers(test_deliveries, inspect.isfunction):
        if name.startswith("test_"):
            event, outcome = re.sub(r"\s+", " ", inspect.getdoc(test) or "").removesuffix(".").split(": ", 1)
            yield f"| {event} | {outcome} |"


def written() -> str:
    """Return what is between the marks in the document."""
    return DOCUMENT.read_text().partition(_BEGIN)[2].partition(_END)[0]


def write(tables: str) -> None:
    """Write tables between the marks of the document."""
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.replace(_BEGIN + written() + _END, _BEGIN + tables + _END))


if __name__ == "__main__":
    write(render())
