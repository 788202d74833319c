"""What the access tests share: a second API, and the program that not every machine has."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from cross_account_access.model import Model, load
from cross_account_access.report import Report, examine
from cross_account_access.variants import variants
from tests.templates.access import second_api

_DATA = json.loads((Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json").read_text())


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


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The services' definitions in the form in which the linter would download them."""
    folder = tmp_path_factory.mktemp("services")
    names = ("dynamodb", "execute-api", "iam", "lambda", "logs", "s3", "sqs", "sts", "xray")
    (folder / "_services.json").write_text(json.dumps([{"service": name, "url": name} for name in names]))
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps(_definition(name)))
    return folder


def _definition(service: str) -> dict[str, Any]:
    known = _DATA[service]
    return {
        "Name": service,
        "Actions": [
            {
                "Name": name,
                "ActionConditionKeys": action.get("ConditionKeys", []),
                "Resources": [{"Name": resource} for resource in action.get("Resources", [])],
            }
            for name, action in known["Actions"].items()
        ],
        "Resources": [
            {
                "Name": name,
                "ARNFormats": [arn.replace(".*", "*") for arn in item["ARNFormats"]],
                "ConditionKeys": item.get("ConditionKeys", []),
            }
            for name, item in known["Resources"].items()
        ],
        "ConditionKeys": [],
    }
