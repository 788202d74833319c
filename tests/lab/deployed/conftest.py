"""What the smoke test needs: a profile of account B, named by ACCOUNT_B_PROFILE."""

import os
import tomllib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from cross_account_access.templates import PROJECT

PROFILE = os.environ.get("ACCOUNT_B_PROFILE")
# The user's AWS settings, saved before they are hidden from all other tests.
SETTINGS = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.fixture(scope="package")
def session() -> Iterator[boto3.Session]:
    """A session of account B."""
    if not PROFILE:
        pytest.skip("ACCOUNT_B_PROFILE names no AWS profile of account B")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.delenv(name)
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield boto3.Session(profile_name=PROFILE)


@pytest.fixture(scope="package")
def stack(session: boto3.Session) -> dict[str, str]:
    """Parameters and outputs of account B's stack, as deployed."""
    config: dict[str, Any] = tomllib.loads((PROJECT / "samconfig.toml").read_text())
    name = config["account-b"]["deploy"]["parameters"]["stack_name"]
    [found] = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in found["Parameters"]}
    return parameters | {item["OutputKey"]: item["OutputValue"] for item in found["Outputs"]}
