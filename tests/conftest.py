"""What every test shares: no AWS account of the machine's user in reach, and one lab for all who only look at it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.lab import Lab


@pytest.fixture(scope="session", autouse=True)
def _no_aws_configuration() -> None:
    """Take away the user's own AWS settings; tests against real accounts have variables of their own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Both stacks, deployed. It is shared: who changes a stack or counts what is in a queue starts another."""
    with Lab.start() as lab:
        yield lab
