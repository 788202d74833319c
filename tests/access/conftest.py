"""What the proofs share: the deployed policies, and the programs that not every machine has."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from access.policies import Policies, deployed_intent, from_deployment
from tests.access.oracles import FOLDER

if TYPE_CHECKING:
    from lab.lab import Lab


@pytest.fixture(scope="session")
def deployed(lab: Lab) -> Policies:
    """The policies as they stand after a real deployment."""
    return from_deployment(lab, deployed_intent(lab.external_id))


@pytest.fixture(scope="session")
def node() -> None:
    """Need Node and the packages beside this file."""
    if not shutil.which("node"):
        _missing("Node is not installed")
    if not (FOLDER / "node_modules").is_dir():
        _missing("Node's packages are not installed: run npm ci --prefix tests/access")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Need Chromium.

    Returns:
        Path of the program.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    return found or _missing("Chromium is not installed")


def _missing(reason: str) -> str:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
