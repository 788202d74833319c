"""SAM CLI in a lab's copy of the project, and `sam local` on this machine."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from samcli.cli.types import CfnParameterOverridesType

from cross_account_lab.containers import sam_local
from cross_account_lab.functions import read_functions
from cross_account_lab.sam import Sam, SamError, override


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sam:
    """SAM CLI replaced by a script that records its arguments and fails on demand."""
    script = tmp_path / "bin/sam"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\necho "$@" >> calls\nenv > environment\nls > sources\n[ "$3" != broken ] || { echo boom; exit 7; }\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script.parent / "python"))
    (tmp_path / "copy").mkdir()
    return Sam(tmp_path / "copy", {"AWS_CONFIG_FILE": "the lab's"}, "https://127.0.0.1:1")


def test_builds_run_in_a_copy_of_the_present_sources(sam: Sam) -> None:
    (sam.folder / "samconfig.toml").write_text("old")

    sam.build(["account-a", "account-b"])

    assert (sam.folder / "samconfig.toml").read_text() != "old"
    assert sorted((sam.folder / "calls").read_text().splitlines()) == [
        "build --config-env account-a",
        "build --config-env account-b",
    ]
    assert {"functions", "samconfig.toml", "template-account-a.yaml"} < set(
        (sam.folder / "sources").read_text().split()
    )
    assert not list((sam.folder / "functions").rglob("__pycache__"))


def test_arguments_follow_the_section_and_the_users_aws_settings_stay_away(
    sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-my-own")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.example")
    monkeypatch.setenv("NO_PROXY", "registry.example")

    sam.deploy("account-a", {"Name": "a b"}, "--profile", "me")

    assert (sam.folder / "calls").read_text() == (
        'deploy --config-env account-a --profile me --parameter-overrides Name="a b"\n'
    )
    environment = (sam.folder / "environment").read_text().splitlines()
    assert {"AWS_CONFIG_FILE=the lab's", "PIP_INDEX_URL=https://pypi.example"} < set(environment)
    assert "NO_PROXY=127.0.0.1,registry.example" in environment
    assert not [line for line in environment if line.startswith(("AWS_PROFILE=", "AWS_ACCESS_KEY_ID="))]


def test_a_failure_says_which_command_and_why_and_ends_the_others(sam: Sam) -> None:
    with pytest.raises(SamError, match=r"^sam deploy --config-env broken failed \(7\):\nboom$"):
        sam.deploy("broken", {})
    with pytest.raises(SamError, match="sam build --config-env broken failed"):
        sam.build(["broken", "account-b"])


@given(
    st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,20}", fullmatch=True), st.text("abc019 ,=:*-/(){}[]\"'$@+"))
)
def test_sam_reads_all_parameters_as_they_were_given(parameters: dict[str, str]) -> None:
    overrides = tuple(override(name, value) for name, value in parameters.items())

    assert CfnParameterOverridesType().convert(overrides, None, None) == parameters


def test_sam_local_has_the_functions_role_and_none_of_the_shells_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"NO_PROXY": "registry.example", "AWS_PROFILE": "mine", "API_URL": "of the shell"}.items():
        monkeypatch.setenv(name, value)
    containers: Any = SimpleNamespace(
        lab=SimpleNamespace(endpoint="https://172.17.0.1:1", ca_file="ca.pem", folder="lab"),
        role_session=lambda _: Credentials("key", "secret", "token"),
        configuration=lambda _: {"Environment": {"Variables": {"API_URL": "of the template"}}},
    )

    variables = sam_local.environment(containers, read_functions()["CallerFunction"])

    assert variables["no_proxy"] == variables["NO_PROXY"] == "172.17.0.1,registry.example"
    assert variables["AWS_SESSION_TOKEN"] == "token"
    assert not {"API_URL", "AWS_PROFILE"} & variables.keys()
