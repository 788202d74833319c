"""A test bed for each test that needs one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.faults.testbed import Shared, TestBed


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with Shared.create(tmp_path_factory.mktemp("shared")) as shared:
        yield shared


@pytest.fixture
def bed(shared: Shared) -> Iterator[TestBed]:
    bed = TestBed(shared)
    yield bed
    bed.stop()
