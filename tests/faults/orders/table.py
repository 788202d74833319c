"""Writes the table of the example's backend in docs/faults.md: `python -m tests.faults.orders.table`."""

from __future__ import annotations

from tests.faults import table
from tests.faults.orders.cases import CASES

NAME = "backend"


def render() -> str:
    return "\n".join(["", *table.rows(CASES), ""])


if __name__ == "__main__":
    table.write(render(), NAME)
