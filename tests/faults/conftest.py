"""The results of all cases, and a test bed for each test that wants one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.environment import SPEEDUP
from tests.faults.runner import Result, run_all
from tests.faults.testbed import Shared, TestBed


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    return run_all(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with Shared.create(tmp_path_factory.mktemp("shared")) as shared:
        yield shared


@pytest.fixture
def new_bed(shared: Shared) -> Iterator[Callable[..., TestBed]]:
    """Create test beds that end with the test."""
    with ExitStack() as stack:

        def create(*, speedup: float = SPEEDUP, ignores_keys: bool = False) -> TestBed:
            bed = TestBed(shared, speedup=speedup, ignores_keys=ignores_keys)
            stack.callback(bed.stop)
            return bed

        yield create


@pytest.fixture
def bed(new_bed: Callable[..., TestBed]) -> TestBed:
    return new_bed()
