"""A lab with the echo API, for the tests that are about no API in particular, and credentials to call with."""

from collections.abc import Iterator

import pytest
from botocore.credentials import Credentials

from cross_account_lab.lab import Lab
from tests.support.echo import project as echo


@pytest.fixture(scope="session")
def own_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Each test that uses it leaves both stacks deployed and its queues empty."""
    with Lab.start(project=echo.write(tmp_path_factory.mktemp("echo"))) as own:
        yield own


@pytest.fixture(scope="session")
def me(lab: Lab) -> Credentials:
    """my-user, in the executor role."""
    return lab.assume_executor(lab.user_key, "222222222222-my-user")
