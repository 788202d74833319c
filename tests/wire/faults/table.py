"""Writes the tables of docs/faults.md: `python -m tests.wire.faults.table`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence

from cross_account_access.templates import PROJECT
from cross_account_api import errors
from tests.wire.faults import test_deliveries
from tests.wire.faults.cases import CASES, Case
from tests.wire.faults.queues import RECEIVES

DOCUMENT = PROJECT / "docs/faults.md"


def render() -> str:
    """Return both tables: faults of calls, and faults of deliveries."""
    return "\n".join(["", *rows(CASES), "", *_deliveries(), ""])


def rows(cases: Sequence[Case]) -> Iterator[str]:
    """Yield the table of some cases, line by line."""
    yield "| fault | once | persistent | ends with | within | order made | deliveries | replay |"
    yield "|---|---|---|---|---|---|---|---|"
    for case in cases:
        yield f"| {' | '.join(_cells(case))} |"


def _cells(case: Case) -> Iterator[str]:
    yield case.fault
    yield "-" if case.transient is None else str(case.transient)
    yield str(case.attempts)
    yield _outcome(case.error)
    yield f"{case.seconds:.0f} s"
    yield "yes" if case.ordered else "no"
    if case.error is None:
        yield from ("-", "-")
    else:
        yield "1" if case.parked else str(RECEIVES)
        yield "succeeds" if case.recovers else "after fixing the call"


def _outcome(error: type[errors.CallError] | None) -> str:
    if error is None:
        return "success"
    return "`ServerError`, `InProgressError`" if error is errors.ApiError else f"`{error.__name__}`"


def _deliveries() -> Iterator[str]:
    yield "| delivery | outcome |"
    yield "|---|---|"
    for name, test in inspect.getmembers(test_deliveries, inspect.isfunction):
        if name.startswith("test_"):
            event, outcome = re.sub(r"\s+", " ", inspect.getdoc(test) or "").removesuffix(".").split(": ", 1)
            yield f"| {event} | {outcome} |"


def written(name: str = "faults") -> str:
    """Return what is between two marks in the document."""
    return DOCUMENT.read_text().partition(f"<!-- {name}:begin -->")[2].partition(f"<!-- {name}:end -->")[0]


def write(tables: str, name: str = "faults") -> None:
    """Write tables between two marks of the document."""
    before, begin, rest = DOCUMENT.read_text().partition(f"<!-- {name}:begin -->")
    _, end, after = rest.partition(f"<!-- {name}:end -->")
    DOCUMENT.write_text(before + begin + tables + end + after)


if __name__ == "__main__":
    write(render())
