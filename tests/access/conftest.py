"""What the access tests share: a second API, and the program that not every machine has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cross_account_access.model import Model, load
from tests.access import second_api


@pytest.fixture(scope="session")
def model() -> Model:
    """The templates with their defaults."""
    return load()


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with another API in the same templates."""
    return second_api.write(tmp_path_factory.mktemp("second"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Need Chromium, and return its path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    return found or _missing("Chromium is not installed")


def _missing(reason: str) -> str:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
