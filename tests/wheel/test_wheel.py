"""The wheel, installed in clean environments and used against the deployed lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from cross_account_access.model import Model, load
from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import ACCOUNT_A
from cross_account_lab.lab import Lab

VERSIONS = ("3.11", "3.12", "3.13", "3.14")

PROGRAM = """
import json, os
from cross_account_api import Client, ForbiddenError

with Client(os.environ["API_URL"], role_arn=os.environ["EXECUTOR_ROLE_ARN"], external_id=os.environ["EXTERNAL_ID"],
            region="eu-west-1") as client:
    granted = client.get(os.environ["GRANTED_PATH"])
    try:
        client.get("/not/granted")
    except ForbiddenError as error:
        refused = error
print(json.dumps([granted.status, granted.attempts, refused.status]))
"""


def interpreter(version: str) -> Path | None:
    """Return a working Python of a version, from PATH or from pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = [shutil.which(f"python{version}"), *sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for path in candidates:
        if path and subprocess.run([path, "-m", "venv", "--help"], capture_output=True, check=False).returncode == 0:
            return Path(path)
    return None


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def model() -> Model:
    return load()


def run(command: list[str | Path], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "HOME": environment["HOME"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_the_wheel_holds_the_client_and_the_command_line_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"call_api", "cross_account_api"}
    assert "cross_account_api/py.typed" in names


FOUND = {version: path for version in VERSIONS if (path := interpreter(version))}


def test_some_python_is_there_to_try() -> None:
    assert "3.13" in FOUND


@pytest.mark.parametrize("version", FOUND)
def test_a_clean_environment_calls_the_api(wheel: Path, lab: Lab, model: Model, tmp_path: Path, version: str) -> None:
    venv = tmp_path / "venv"
    subprocess.run([FOUND[version], "-m", "venv", venv], check=True)
    pip: list[str | Path] = [
        venv / "bin/python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        wheel,
    ]
    installed = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    path = next(
        route.path for route in model.routes if route.granted and route.method == "GET" and "{" not in route.path
    )
    environment = {
        **lab.environment,
        "HOME": str(tmp_path),
        "AWS_PROFILE": "my-user",
        "API_URL": lab.api_url,
        "EXECUTOR_ROLE_ARN": lab.outputs[ACCOUNT_A]["ExecutorRoleArn"],
        "EXTERNAL_ID": lab.outputs[ACCOUNT_A]["ExternalId"],
        "GRANTED_PATH": path,
    }

    program = run([venv / "bin/python", "-W", "error", "-c", PROGRAM], environment)
    command = run([venv / "bin/call-api", "GET", path, "--output", "json"], {**environment, "AWS_PROFILE": "orders"})

    assert program.returncode == 0, program.stderr
    assert json.loads(program.stdout) == [200, 1, 403]
    assert command.returncode == 0, command.stderr
    assert json.loads(command.stdout)["status"] == 200
