"""What `make` does in a copy of the project: what it locks and upgrades, and what it says where it cannot work."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from access.templates import PROJECT
from tests.support import wheels

FILES = (
    "Makefile",
    "pyproject.toml",
    ".python-version",
    *wheels.LOCKS,
    "functions/*/handler.py",
    "tests/access/*.json",
)
# An old SAM CLI that any click fits, as there is one: without a lower bound the resolver prefers it.
NEWER = (("click", "9999.0.0", ""), ("certifi", "9999.0.0", ""), ("aws-sam-cli", "1.138.0", "click"))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.write(tmp_path_factory.mktemp("index"), NEWER)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for path in (path for pattern in FILES for path in PROJECT.glob(pattern)):
        copy = folder / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return folder


def make(project: Path, *arguments: str, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make without what surrounds the tests: git's folder, another make, a package index."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "MAKE", "MFLAGS", "UV_", "PIP_"))
    }
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=project,
        env=own
        | {
            "PATH": path or f"{Path(sys.executable).parent}:{own['PATH']}",
            "GIT_CEILING_DIRECTORIES": str(project.parent),
        }
        | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def locked(project: Path, target: str, index: Path) -> dict[str, dict[str, str]]:
    done = make(project, target, UV_CACHE_DIR=str(project.parent / "cache"), UV_FIND_LINKS=str(index), UV_OFFLINE="1")
    assert done.returncode == 0, done.stdout
    return wheels.pinned(project)


def test_lock_pins_what_is_new_and_touches_nothing_else(project: Path, index: Path) -> None:
    before = {path: path.read_bytes() for pattern in wheels.LOCKS for path in project.glob(pattern)}
    (project / "functions/tea").mkdir()
    (project / "functions/tea/handler.py").touch()
    pyproject = project / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace("[dependency-groups]\n", '[dependency-groups]\ntea = ["certifi"]\n')
    )
    found = locked(project, "lock", index)
    assert {path: path.read_bytes() for path in before} == before
    assert found["functions/tea/requirements.txt"] == {"certifi": found["requirements-dev.txt"]["certifi"]}


def test_upgrade_takes_the_newest_that_the_templates_work_with(project: Path, index: Path) -> None:
    before = wheels.pinned(project)
    found = locked(project, "upgrade", index)
    assert {pins["certifi"] for pins in found.values() if "certifi" in pins} == {"9999.0.0"}
    for name in ("requirements-dev.txt", ".github/requirements.txt"):
        assert found[name]["aws-sam-cli"] == before[name]["aws-sam-cli"]
        assert found[name]["aws-sam-translator"] == before[name]["aws-sam-translator"]


# --- uv where there is none -------------------------------------------------------------------------------------------


def without_uv(folder: Path) -> str:
    """A PATH with what make needs, and no uv."""
    folder.mkdir()
    for command in ("make", "bash", "sh", "sed", "cat", "env"):
        (folder / command).symlink_to(str(shutil.which(command)))
    (folder / "python3").symlink_to(sys.base_prefix + "/bin/python3")
    return str(folder)


@pytest.mark.parametrize("tampered", [False, True])
def test_uv_is_installed_by_its_hash(project: Path, tmp_path: Path, tampered: bool) -> None:
    index = tmp_path / "index"
    index.mkdir()
    lock = project / "requirements-dev.txt"
    version = re.findall(r"^uv==(\S+)", lock.read_text(), re.M)[0]
    uv = wheels.wheel(index, "uv", version, script="#!/bin/sh\n")
    digest = hashlib.sha256(uv.read_bytes()).hexdigest()
    lock.write_text(
        re.sub(r"^(uv==.*\n)(.*\\\n)*(.*\n)", rf"\1    --hash=sha256:{digest}\n", lock.read_text(), flags=re.M)
    )
    if tampered:
        wheels.wheel(index, "uv", version, script="#!/bin/sh\necho evil\n")
    done = make(project, ".uv/bin/uv", path=without_uv(tmp_path / "bin"), PIP_NO_INDEX="1", PIP_FIND_LINKS=str(index))
    assert (done.returncode == 0) is not tampered, done.stdout
    assert (project / ".uv/bin/uv").exists() is not tampered
    assert ("THESE PACKAGES DO NOT MATCH THE HASHES" in done.stdout) is tampered


def test_a_python_that_cannot_be_had_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin/uv"
    uv.write_text("#!/bin/sh\necho 'error: failed to download' >&2\nexit 2\n")
    uv.chmod(0o755)
    done = make(project, ".venv/.ready", path=f"{uv.parent}:{os.environ['PATH']}")
    wanted = (PROJECT / ".python-version").read_text().strip()
    assert done.returncode == 2
    assert f"no Python {wanted}: install it, or let uv download it from GitHub" in done.stdout


# --- A copy without history -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["check", "access-diff"])
def test_a_copy_without_history_is_told_what_it_needs(project: Path, target: str) -> None:
    done = make(project, target)
    assert done.returncode == 2
    assert "this needs a git repository with a commit: git init && git add --all && git commit" in done.stdout
    assert not (project / ".venv").exists(), "said before anything is installed"
