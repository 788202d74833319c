"""A pytest plugin, for `pytest_plugins` in a conftest.py: tests get a `signed_api`."""

import os
from collections.abc import Iterator

import pytest

from cross_account_lab.judge.judge import SignedApi, serve


@pytest.fixture
def signed_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[SignedApi]:
    """An API on loopback that checks signatures, with the environment of a caller that may assume its role.

    `signed_api.url` is its URL, `accepted` and `refused` say what became of requests, and `judge.answer` may be
    replaced by a function that responds to those that are signed right.
    """
    with serve() as api:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, os.devnull)
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        yield api
