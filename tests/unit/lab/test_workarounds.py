from __future__ import annotations

import pytest

from access.templates import source
from lab import workarounds

OUTPUTS = {"ApiId": "abc123", "ApiUrl": "https://abc123.execute-api.eu-west-1.amazonaws.com/v2"}


def test_the_api_url_keeps_the_stage() -> None:
    assert workarounds.api_url("https://127.0.0.1:1", OUTPUTS) == "https://127.0.0.1:1/_aws/execute-api/abc123/v2"


def test_session_names_are_bound_to_the_consumers_literally() -> None:
    given = workarounds.provider_parameters(["account-b", "account-c"])

    assert given["ConsumerSessionName"] == "222222222222-*,333333333333-*"
    assert given["RequireMfaForUsers"] == "false"


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("arm64", "arm64"), ("aarch64", "arm64")],
)
def test_functions_are_built_for_this_machine(monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)

    assert workarounds.provider_parameters([])["Architecture"] == architecture
    assert workarounds.consumer_parameters("url")["Architecture"] == architecture


def test_only_parameters_of_the_templates_are_given() -> None:
    assert workarounds.provider_parameters(["account-b"]).keys() <= source("a")["Parameters"].keys()
    assert workarounds.consumer_parameters("url").keys() <= source("b")["Parameters"].keys()
