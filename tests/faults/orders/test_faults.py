"""The example's backend behind the API: its own faults, and those after which its response is lost."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.faults import cases, table, test_faults, test_ignored_keys
from tests.faults.cases import Case
from tests.faults.orders import table as orders_table
from tests.faults.orders.backend import deployed
from tests.faults.orders.cases import CASES
from tests.faults.runner import Result, UnkeyedResult, run_all, run_case, run_unkeyed_case

ALL = [*CASES, *(case for case in cases.CASES if case.ordered)]


def checks(module: Any) -> list[Any]:
    """The tests of a module that judge the result of a case."""
    functions = [item for name, item in vars(module).items() if name.startswith("test_")]
    return [item for item in functions if list(inspect.signature(item).parameters) == ["case", "results"]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    return run_all(run_case, ALL, tmp_path_factory.mktemp("faults"), deploy=deployed)


@pytest.fixture(scope="module")
def unkeyed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, UnkeyedResult]:
    folder = tmp_path_factory.mktemp("unkeyed")
    return run_all(run_unkeyed_case, CASES, folder, ignores_keys=True, deploy=deployed)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.fault)
@pytest.mark.parametrize("check", checks(test_faults), ids=lambda check: check.__name__)
def test_each_fault(check: Any, case: Case, results: dict[str, Result]) -> None:
    check(case, results)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
@pytest.mark.parametrize("check", checks(test_ignored_keys), ids=lambda check: check.__name__)
def test_each_fault_without_keys(check: Any, case: Case, unkeyed: dict[str, UnkeyedResult]) -> None:
    check(case, unkeyed)


def test_there_is_something_to_check() -> None:
    assert len(checks(test_faults)) == 8
    assert len(checks(test_ignored_keys)) == 2
    assert len(ALL) > 20


def test_the_fault_table_is_that_of_the_suite() -> None:
    assert table.written(orders_table.NAME) == orders_table.render(), "run python -m tests.faults.orders.table"
