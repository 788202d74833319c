"""Shared by all tests: the user's AWS accounts are out of reach, and tests that change nothing share a lab."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from cross_account_lab.lab import Lab
from cross_account_lab.process import drop_aws_variables

# An example may take as long as it takes: a busy machine is no finding.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

pytest_plugins = ["pytester", "tests.support.plugin"]


@pytest.fixture(scope="session", autouse=True)
def _no_aws_configuration() -> None:
    """Remove the user's own AWS settings; tests against real accounts have variables of their own."""
    drop_aws_variables(os.environ)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Both stacks, deployed. What a test changes in them, it changes back."""
    with Lab.start() as lab:
        yield lab
