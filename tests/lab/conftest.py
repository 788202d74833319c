"""A second lab, beside the shared one, for the tests that change a stack or count what is in a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic, sleep

import pytest
from botocore.credentials import Credentials

from lab.lab import Lab


@pytest.fixture(scope="session")
def own_lab(lab: Lab) -> Iterator[Lab]:
    """Each test that uses it leaves both stacks deployed and its queues empty."""
    with Lab.start() as own:
        assert own.endpoint != lab.endpoint
        yield own


@pytest.fixture(scope="session")
def me(lab: Lab) -> Credentials:
    """my-user, in the executor role."""
    return lab.assume_executor(lab.person, "222222222222-my-user")


def eventually[T](look: Callable[[], T], seconds: float = 120) -> T:
    """Look until there is something to see."""
    deadline = monotonic() + seconds
    while not (seen := look()) and monotonic() < deadline:
        sleep(0.1)
    return seen
