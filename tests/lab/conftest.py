"""A second lab for the tests that change a stack or count the messages of a queue, and credentials to call with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.credentials import Credentials

from lab.lab import Lab


@pytest.fixture(scope="session")
def own_lab() -> Iterator[Lab]:
    """Each test that uses it leaves both stacks deployed and its queues empty."""
    with Lab.start() as own:
        yield own


@pytest.fixture(scope="session")
def me(lab: Lab) -> Credentials:
    """my-user, in the executor role."""
    return lab.assume_executor(lab.user_key, "222222222222-my-user")
