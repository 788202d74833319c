"""The APIs that account A already has, deployed once for the tests in this folder."""

from collections.abc import Iterator

import pytest

from tests.lab.foreign.apis import Foreign


@pytest.fixture(scope="package")
def foreign() -> Iterator[Foreign]:
    """Both APIs and an access stack for each of two consumers; each test leaves them as they were."""
    with Foreign.start() as foreign:
        yield foreign
