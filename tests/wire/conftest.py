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


@pytest.fixture(autouse=True)
def _one_certificate(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each client read one certificate, instead of the public ones, which takes longer than a call."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))


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
