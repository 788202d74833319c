"""The caller with an API, an STS and a clock in memory."""

from __future__ import annotations

import itertools
import sys
from importlib import import_module
from types import ModuleType

import pytest

from cross_account_api import client as api
from cross_account_api.client import ApiClient
from tests.support.fakes import (
    API_URL,
    EXECUTOR_ROLE_ARN,
    EXTERNAL_ID,
    FakeApi,
    FakeCredentials,
    FakeSts,
    FakeTime,
)


@pytest.fixture
def fake_api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def sts(fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeSts:
    sts = FakeSts(fake_api)
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", sts.send)
    return sts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr(api, "monotonic", clock.monotonic)
    monkeypatch.setattr(api.RETRYING, "sleep", clock.sleep)
    return clock


@pytest.fixture
def credentials(fake_api: FakeApi) -> FakeCredentials:
    return FakeCredentials(fake_api)


@pytest.fixture
def client(credentials: FakeCredentials, fake_api: FakeApi) -> ApiClient:
    return ApiClient(API_URL, "eu-west-1", credentials, fake_api)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {
        "API_URL": API_URL,
        "API_REGION": "",
        "EXECUTOR_ROLE_ARN": EXECUTOR_ROLE_ARN,
        "EXTERNAL_ID": EXTERNAL_ID,
        "SESSION_NAME": "222222222222-orders-caller",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


_services = (f"orders-caller-{number}" for number in itertools.count(1))


class CurrentStdout:
    """Standard output as it is when something is written: pytest has another one in each phase of a test."""

    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture
def function(
    environment: dict[str, str], fake_api: FakeApi, sts: FakeSts, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The function's module as a new execution environment loads it, with a log and metrics of its own."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", next(_services))
    monkeypatch.setattr("cross_account_api.client.Connections", lambda *_: fake_api)
    sys.modules.pop("caller.handler", None)
    module = import_module("caller.handler")
    module.logger.logger_handler.setStream(CurrentStdout())
    return module
