"""Fixtures of the unit tests: a client with an API, an STS and a clock in memory."""

import itertools
import sys
from importlib import import_module
from types import ModuleType

import pytest

from cross_account_api import Client
from tests.support.fakes import (
    API_URL,
    EXECUTOR_ROLE_ARN,
    EXTERNAL_ID,
    FAILED_CALL_QUEUE_URL,
    FakeApi,
    FakeCredentials,
    FakeSqs,
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
def sqs(sts: FakeSts) -> FakeSqs:
    return sts.sqs


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def credentials(fake_api: FakeApi) -> FakeCredentials:
    return FakeCredentials(fake_api)


@pytest.fixture
def client(credentials: FakeCredentials, fake_api: FakeApi, clock: FakeTime) -> Client:
    return Client(API_URL, credentials=credentials, transport=fake_api, clock=clock)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    variables = {
        "API_URL": API_URL,
        "API_REGION": "",
        "EXECUTOR_ROLE_ARN": EXECUTOR_ROLE_ARN,
        "EXTERNAL_ID": EXTERNAL_ID,
        "SESSION_NAME": "222222222222-orders-caller",
        "FAILED_CALL_QUEUE_URL": FAILED_CALL_QUEUE_URL,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


_services = (f"orders-caller-{number}" for number in itertools.count(1))


class CurrentStdout:
    """The current standard output: pytest replaces it in each phase of a test."""

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
    monkeypatch.setattr("cross_account_api.client.Connections", lambda *_, **__: fake_api)
    sys.modules.pop("cross_account_caller.handler", None)
    module = import_module("cross_account_caller.handler")
    module.logger.logger_handler.setStream(CurrentStdout())
    module.metrics.clear_metrics()  # Powertools keeps them for all modules of a process
    return module
