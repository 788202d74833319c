"""Account A, the authority of its certificates, and both accounts, for each test that needs them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.wire.faults.clock import virtual_time
from tests.wire.faults.testbed import TestBed
from tests.wire.world import World


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority") / "ca.pem")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with World() as world:
        world.enter(monkeypatch)
        yield world


@pytest.fixture
def new_bed(authority: Authority) -> Iterator[Callable[..., TestBed]]:
    with virtual_time(), ExitStack() as stack:

        def new(**options: Any) -> TestBed:
            bed = TestBed(authority, **options)
            stack.callback(bed.stop)
            return bed

        yield new


@pytest.fixture
def bed(new_bed: Callable[..., TestBed]) -> TestBed:
    return new_bed()
