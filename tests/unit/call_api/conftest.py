"""A home with a configuration, and an AWS in memory: nothing of this machine is seen."""

import os
import socket
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from botocore.hooks import HierarchicalEmitter
from botocore.session import Session

from tests.support.fakes import API_URL
from tests.unit.call_api.support import FakeAws, GuardedApi, config_text

# What botocore registers with each new session, which takes longer than all else here.
HANDLERS = HierarchicalEmitter()
Session(event_hooks=HANDLERS)


@pytest.fixture
def api() -> GuardedApi:
    return GuardedApi()


@pytest.fixture(autouse=True)
def aws(api: GuardedApi, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    def open_session(**options: Any) -> Session:
        return Session(event_hooks=copy(HANDLERS), include_builtin_handlers=False, **options)

    aws = FakeAws(api)
    monkeypatch.setattr("botocore.session.Session", open_session)
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lambda _, request: aws.send(request))
    return aws


@pytest.fixture(autouse=True)
def config(api: GuardedApi, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file; its profile orders may call the API."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    path = tmp_path_factory.mktemp("home") / "config"
    path.write_text(config_text({}))
    variables = {
        "HOME": str(path.parent),
        "AWS_CONFIG_FILE": str(path),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "eu-west-1",
        "API_URL": API_URL,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for module in ("call_api.__main__", "call_api.facts"):
        monkeypatch.setattr(f"{module}.Connections", lambda *_: api)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return path
