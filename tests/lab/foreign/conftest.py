"""The APIs that account A already has, deployed once for the tests in this folder."""

import pytest

from cross_account_lab.lab import Lab
from tests.lab.foreign.apis import Foreign


@pytest.fixture(scope="package")
def foreign(own_lab: Lab) -> Foreign:
    """Both APIs and an access stack for each of two consumers; each test leaves them as they were."""
    return Foreign.deploy(own_lab)
