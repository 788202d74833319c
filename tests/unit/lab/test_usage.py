"""The file and the shell that lead to a lab, in the shells of this machine."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cross_account_lab.usage import environment_file

USERS_OWN = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_ENDPOINT_URL_STS": "https://sts.example.com",
    "AWS_PROFILE": 'it\'s "mine" $HOME\nand has two lines',
    "AWS_REGION": "",
    "LAB_BIN": "of another lab",
}
SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A lab of a user who trusts an authority of a company, behind a proxy."""
    folder = tmp_path / "a lab's folder"
    folder.mkdir()
    (folder / "aws-config").touch()
    (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE----- of the lab")
    (tmp_path / "corporate.pem").write_text("-----BEGIN CERTIFICATE----- of the user")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "corporate.pem"))
    monkeypatch.setenv("NO_PROXY", "example.com")
    return SimpleNamespace(
        folder=folder,
        ca_file=folder / "ca.pem",
        endpoint="https://127.0.0.1:1",
        api_url="https://127.0.0.1:1/v1",
        sam=SimpleNamespace(project=tmp_path),
        consumers=["account-b", "account-c"],
        environment={"AWS_CONFIG_FILE": str(folder / "aws-config")},
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_has_the_labs_settings_and_none_of_the_users(lab: Any, tmp_path: Path, shell: str) -> None:
    file = tmp_path / "build/lab.env"
    with environment_file(lab, file):
        done = subprocess.run(
            [shell, "-euc", f". '{file}'; env -0"],
            env=USERS_OWN | {"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
    found = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)

    assert {name: value for name, value in found.items() if name.startswith("AWS_")} == {
        "AWS_CONFIG_FILE": str(lab.folder / "aws-config"),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": lab.endpoint,
        "AWS_PROFILE": "orders",
        "AWS_REGION": "eu-west-1",
    }
    assert (found["API_URL"], found["SAM_CLI_TELEMETRY"]) == (lab.api_url, "0")
    assert found["NO_PROXY"] == found["no_proxy"] == "127.0.0.1,example.com"
    assert found["PATH"] == f"{lab.folder}/bin:{os.environ['PATH']}"
    # The user's own python stays first.
    assert sorted(path.name for path in Path(found["LAB_BIN"]).iterdir()) == ["call-api", "sam"]
    bundle = Path(found["REQUESTS_CA_BUNDLE"])
    assert [line.partition(" of ")[2] for line in bundle.read_text().splitlines()] == ["the user", "the lab"]
    assert bundle.name != "ca-bundle.pem", "the emulator writes a file of that name"


def test_the_file_ends_with_the_lab_however_that_ends(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "lab.env"
    with environment_file(lab, path):
        assert path.exists()
    assert not path.is_symlink()

    with environment_file(lab, path):
        shutil.rmtree(lab.folder)
        assert not path.exists()
        path.unlink()
        path.symlink_to(another := tmp_path / "another.env")
        another.touch()
    assert path.exists(), "another lab's"
