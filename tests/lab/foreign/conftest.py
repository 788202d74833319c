"""The APIs that account A already has, deployed once for the tests in this folder."""

import pytest

from cross_account_lab.lab import Lab
from tests.lab.foreign.apis import Foreign


@pytest.fixture(scope="package")
def foreign(lab: Lab) -> Foreign:
    """Both APIs and the access stack of account B; each test leaves them as they were."""
    return Foreign(lab)
