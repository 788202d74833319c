"""What the access tests share: the model and the report of the templates, and a second API."""

from pathlib import Path

import pytest

from cross_account_access.model import Model, load
from cross_account_access.report import Report, examine
from cross_account_access.variants import variants
from tests.templates.access import second_api


@pytest.fixture(scope="session")
def model() -> Model:
    """The templates with their defaults."""
    return load()


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with another API in the same templates."""
    return second_api.write(tmp_path_factory.mktemp("second"))


@pytest.fixture(scope="session")
def good() -> Report:
    """The report on the templates."""
    return examine(variants(), {"Revision": "abc1234"})
