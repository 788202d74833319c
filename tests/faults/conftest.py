"""What was seen when all cases were tried, and a world of its own for each test that wants one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.runner import Finding, examine_all
from tests.faults.speedup import PACE
from tests.faults.testbed import Ground, World


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    return examine_all(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Ground.laid(tmp_path_factory.mktemp("ground")) as ground:
        yield ground


@pytest.fixture
def new_world(ground: Ground) -> Iterator[Callable[..., World]]:
    """Makes worlds that end with the test."""
    with ExitStack() as stack:

        def make(*, pace: float = PACE) -> World:
            world = World(ground, pace=pace)
            stack.callback(world.stop)
            return world

        yield make


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()
