from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import Credentials

from cross_account_lab.containers.sam_local import SamLocal


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_hosts_without_a_proxy_stay_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for spelling in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(spelling, raising=False)
    monkeypatch.setenv(name, "registry.example")
    containers: Any = SimpleNamespace(
        lab=SimpleNamespace(endpoint="https://172.17.0.1:1", ca_file="ca.pem", folder="lab"),
        role_session=lambda _: Credentials("key", "secret", "token"),
        configuration=lambda _: {"Environment": {"Variables": {}}},
    )

    variables = SamLocal(containers)._environment(SimpleNamespace())  # type: ignore[arg-type]

    assert variables["no_proxy"] == variables["NO_PROXY"] == "172.17.0.1,registry.example"
