"""The wheel, installed in clean environments and used against the deployed lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from cross_account_access.model import Model, load
from cross_account_access.project import PROJECT
from cross_account_api import __version__
from cross_account_lab.accounts import ACCOUNT_A
from cross_account_lab.lab import Lab
from cross_account_project.wheels import find_wheels, version_of

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
def wheels() -> dict[str, bytes]:
    """Both wheels of the repository, by file name."""
    return find_wheels(None)


@pytest.fixture(scope="session")
def wheel(wheels: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    for name, content in wheels.items():
        (folder / name).write_bytes(content)
    return next(folder.glob("cross_account_api-*.whl"))


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
        timeout=120,
    )


def modules(wheel: bytes) -> set[str]:
    names = zipfile.ZipFile(BytesIO(wheel)).namelist()
    return {name.partition("/")[0] for name in names if ".dist-info/" not in name}


def test_each_wheel_holds_its_own_modules_only(wheels: dict[str, bytes]) -> None:
    runtime, development = wheels.values()

    assert modules(runtime) == {"call_api", "cross_account_api", "cross_account_backend", "cross_account_caller"}
    assert modules(development) == {"cross_account_access", "cross_account_lab", "cross_account_project"}
    assert {f"{name}/py.typed" for name in modules(runtime)} <= set(zipfile.ZipFile(BytesIO(runtime)).namelist())


def test_both_have_the_version_of_the_package(wheels: dict[str, bytes]) -> None:
    assert [version_of(name) for name in wheels] == [__version__, __version__]


FOUND = {version: path for version in VERSIONS if (path := interpreter(version))}


def test_some_python_is_there_to_try() -> None:
    assert "3.13" in FOUND


# The newest dependencies, and the oldest that pyproject.toml allows.
ENDS = [*((version, "highest") for version in FOUND), (min(FOUND, key=VERSIONS.index), "lowest-direct")]


@pytest.mark.parametrize(("version", "end"), ENDS)
def test_a_clean_environment_calls_the_api(
    wheel: Path, lab: Lab, model: Model, tmp_path: Path, version: str, end: str
) -> None:
    venv = tmp_path / "venv"
    uv: list[str | Path] = [Path(sys.executable).parent / "uv", "--quiet"]
    into: list[str | Path] = ["pip", "install", "--python", venv / "bin/python"]
    for command in (
        ["venv", "--python", FOUND[version], venv],
        [*into, "--resolution", end, "--requirement", PROJECT / "functions/pyproject.toml"],
        [*into, "--no-deps", wheel],
    ):
        done = subprocess.run([*uv, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
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
    by_hand = run([venv / "bin/call-api", "GET", path, "--output", "json"], {**environment, "AWS_PROFILE": "orders"})

    assert program.returncode == 0, program.stderr
    assert json.loads(program.stdout) == [200, 1, 403]
    assert by_hand.returncode == 0, by_hand.stderr
    assert json.loads(by_hand.stdout)["status"] == 200
