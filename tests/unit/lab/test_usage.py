"""The file that points a shell to a lab, in the shells of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES
from cross_account_lab.usage import environment_file, usage

USERS_OWN = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_ENDPOINT_URL_STS": "https://sts.example.com",
    "AWS_PROFILE": 'it\'s "mine" $HOME\nand has two lines',
    "AWS_REGION": "",
    "NO_PROXY": "example.com",
    "LAB_BIN": "of another lab",
    "SAM_CLI_TELEMETRY": "1",
}
SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    folder = tmp_path / "a lab's folder"
    folder.mkdir()
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE----- of the lab")
    return SimpleNamespace(
        folder=folder,
        ca_file=folder / "ca.pem",
        endpoint="https://127.0.0.1:1",
        api_url="https://127.0.0.1:1/v1",
        sam=SimpleNamespace(project=tmp_path),
        consumers=["account-b"],
        environment={"AWS_CONFIG_FILE": str(folder / "aws-config")},
    )


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / "build/lab.env"


def variables(shell: str, *commands: str) -> dict[str, str]:
    """Return the environment variables of a user's shell after these commands."""
    output = subprocess.run(
        [str(shutil.which(shell)), "-c", "\n".join(["set -eu", *commands, "env -0"])],
        env={"PATH": "/usr/bin:/bin", **USERS_OWN},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    pairs = dict(entry.split("=", 1) for entry in output.split("\0") if entry)
    return {name: value for name, value in pairs.items() if name not in {"_", "OLDPWD", "PWD", "SHLVL"}}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_file_replaces_the_users_settings(shell: str, lab: Any, env_file: Path) -> None:
    with environment_file(lab, env_file):
        found = variables(shell, f"cd '{env_file.parent}'", ". ./lab.env")

    assert {name for name in found if name.startswith("AWS_")} == {
        "AWS_CONFIG_FILE",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_PROFILE",
        "AWS_REGION",
    }
    assert found["AWS_CONFIG_FILE"] == str(lab.folder / "aws-config")
    assert found["AWS_PROFILE"] == "orders"
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert found["API_URL"] == lab.api_url
    assert found["SAM_CLI_TELEMETRY"] == "0"
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,example.com"
    assert found["PATH"] == f"{found['LAB_BIN']}:/usr/bin:/bin"
    # The user's own python stays first.
    assert sorted(path.name for path in Path(found["LAB_BIN"]).iterdir()) == ["call-api", "sam"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("own", "both"),
    [
        ("unset NO_PROXY", ("127.0.0.1", "127.0.0.1")),
        ("unset NO_PROXY; export no_proxy=a.example", ("127.0.0.1,a.example",) * 2),
        ("export no_proxy=a.example", ("127.0.0.1,a.example", "127.0.0.1,example.com")),
        ("export NO_PROXY='*'", ("*", "*")),
    ],
)
def test_hosts_without_a_proxy_stay_without(
    shell: str, own: str, both: tuple[str, str], lab: Any, env_file: Path
) -> None:
    with environment_file(lab, env_file):
        found = variables(shell, own, f". '{env_file}'")

    assert (found["no_proxy"], found["NO_PROXY"]) == both


def test_no_file_of_the_lab_has_the_name_of_one_that_the_emulator_writes(lab: Any, env_file: Path) -> None:
    with environment_file(lab, env_file):
        assert variables("bash", f". '{env_file}'")["REQUESTS_CA_BUNDLE"] == str(lab.folder / "trusted.pem")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("shell", SHELLS)
def test_deactivate_lab_restores_them(shell: str, times: int, lab: Any, env_file: Path) -> None:
    with environment_file(lab, env_file):
        activate = [f". '{env_file}'"] * times
        assert variables(shell, *activate) != variables(shell)
        assert variables(shell, *activate, "deactivate_lab") == variables(shell)


def test_other_hosts_are_trusted_as_before(
    lab: Any, env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corporate.pem").write_text("-----BEGIN CERTIFICATE----- of the user")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "corporate.pem"))
    with environment_file(lab, env_file):
        bundle = Path(variables("bash", f". '{env_file}'")["REQUESTS_CA_BUNDLE"])

    assert [line.partition(" of ")[2] for line in bundle.read_text().splitlines()] == ["the user", "the lab"]


def test_the_file_ends_with_the_lab(lab: Any, env_file: Path) -> None:
    with environment_file(lab, env_file):
        assert env_file.exists()

    assert not env_file.is_symlink()


def test_a_lab_that_was_killed_leaves_nothing_to_source(lab: Any, env_file: Path) -> None:
    with environment_file(lab, env_file):
        shutil.rmtree(lab.folder)
        assert not env_file.exists()


def test_the_file_of_another_lab_stays(lab: Any, env_file: Path, tmp_path: Path) -> None:
    another = tmp_path / "another.env"
    another.touch()
    with environment_file(lab, env_file):
        env_file.unlink()
        env_file.symlink_to(another)

    assert env_file.exists()


def test_the_usage_has_commands_for_each_consumer(lab: Any, env_file: Path) -> None:
    lab.consumers = ["account-b", "account-c"]

    text = usage(lab, env_file)

    assert f"source {os.path.relpath(env_file)}\n  call-api GET /" in text
    for consumer in lab.consumers:
        assert f"sam remote invoke CallQueue --stack-name {STACK_NAMES[ACCOUNT_B]} --profile {consumer} --event" in text
        assert f"sam logs --stack-name {STACK_NAMES[ACCOUNT_B]} --profile {consumer}" in text
        replay = f"{os.path.relpath(sys.executable)} -m cross_account_lab replay --env-file {os.path.relpath(env_file)}"
        assert f"{replay} --consumer {consumer}" in text
