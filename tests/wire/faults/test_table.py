"""The documented tables are those of the suite."""

from __future__ import annotations

from tests.wire.faults import table


def test_the_fault_table_is_that_of_the_suite() -> None:
    assert table.written() == table.render(), "run python -m tests.wire.faults.table"
