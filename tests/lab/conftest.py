"""A second lab, beside the shared one, for the tests that change a stack or count what is in a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep

import pytest
from botocore.credentials import Credentials

from lab.accounts import ACCOUNT_A, ACCOUNT_B
from lab.lab import Lab


@pytest.fixture(scope="session")
def own_lab(lab: Lab) -> Iterator[Lab]:
    """Each test that uses it leaves both stacks deployed and its queues empty. Its schedule fires once, early."""
    with Lab.start(deployed=False) as own:
        assert own.endpoint != lab.endpoint
        own.deploy(ACCOUNT_A)
        own.deploy(
            ACCOUNT_B,
            ScheduleExpression=f"at({datetime.now(UTC) + timedelta(seconds=5):%Y-%m-%dT%H:%M:%S})",
            CallMethod="POST",
            CallPath="/orders",
            CallBody='{"sku": "scheduled", "quantity": 3}',
        )
        yield own


@pytest.fixture(scope="session")
def me(lab: Lab) -> Credentials:
    """my-user, in the executor role."""
    return lab.assume_executor(lab.person, "222222222222-my-user")


def eventually[T](look: Callable[[], T], seconds: float = 30) -> T:
    """Look until there is something to see."""
    deadline = monotonic() + seconds
    while not (seen := look()) and monotonic() < deadline:
        sleep(0.1)
    return seen
