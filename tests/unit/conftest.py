"""Unit tests open no socket and see the environment that Lambda gives a function."""

from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket

from tests.support.fixtures import client, clock, credentials, environment, fake_api, function, sqs, sts

__all__ = ["client", "clock", "credentials", "environment", "fake_api", "function", "sqs", "sts"]


@pytest.fixture(autouse=True)
def _no_sockets() -> Iterator[None]:
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(autouse=True)
def _lambda_environment(_no_sockets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this order, what a test replaces in `socket` is there again before sockets are allowed again.
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    for name, value in {
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "POWERTOOLS_METRICS_NAMESPACE": "CrossAccountApi",
    }.items():
        monkeypatch.setenv(name, value)
