"""What `make` does in a copy of the project: what it locks and upgrades, and what it says where it cannot work."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cross_account_access.templates import PROJECT
from tests.support import wheels
from tests.support.scratch import make

FILES = (
    "Makefile",
    "pyproject.toml",
    "functions/pyproject.toml",
    ".python-version",
    *wheels.LOCKS,
    "functions/*/handler.py",
)
NEWER = {"certifi": "9999.0.0", "click": "9999.0.0"}
# They know nothing of the templates' newer properties.
OLD = {"aws-sam-cli": "1.138.0", "aws-sam-translator": "1.97.0", "cfn-lint": "1.34.2"}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.write(tmp_path_factory.mktemp("index"), NEWER | OLD)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for path in (path for pattern in FILES for path in PROJECT.glob(pattern)):
        copy = folder / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return folder


def run(project: Path, *arguments: str, path: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run make without a package index and where no git repository is."""
    environment = {"GIT_CEILING_DIRECTORIES": str(project.parent), **settings}
    return make(project, *arguments, environment=environment, path=path, without=("UV_", "PIP_"))


def edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert count
    path.write_text(text)


def lock(project: Path, target: str, index: Path) -> subprocess.CompletedProcess[str]:
    cache = str(project.parent / "cache")
    return run(project, target, UV_CACHE_DIR=cache, UV_FIND_LINKS=str(index), UV_OFFLINE="1")


def contents(project: Path) -> dict[Path, bytes]:
    """The locks, but those of what need not be installed where tests run: nothing says what its stand-ins need."""
    elsewhere = {project / "requirements-release.txt", project / "cross_account_lab/requirements.txt"}
    paths = (path for pattern in wheels.LOCKS for path in project.glob(pattern))
    return {path: path.read_bytes() for path in paths if path not in elsewhere}


@pytest.mark.slow
def test_lock_pins_what_is_new_and_touches_nothing_else(project: Path, index: Path) -> None:
    before = contents(project)
    (project / "functions/tea").mkdir()
    (project / "functions/tea/handler.py").touch()
    edit(project / "pyproject.toml", r"^\[dependency-groups\]", r'\g<0>\ntea = ["certifi"]')
    done = lock(project, "lock", index)
    assert done.returncode == 0, done.stdout
    new = project / "functions/tea/requirements.txt"
    assert contents(project) == before | {new: new.read_bytes()}
    found = wheels.pinned(project)
    assert found["functions/tea/requirements.txt"] == {"certifi": found["requirements-dev.txt"]["certifi"]}


@pytest.mark.slow
def test_upgrade_takes_the_newest(project: Path, index: Path) -> None:
    done = lock(project, "upgrade", index)
    assert done.returncode == 0, done.stdout
    found = wheels.pinned(project)
    assert {pins["certifi"] for pins in found.values() if "certifi" in pins} == {"9999.0.0"}
    for name in ("requirements-dev.txt", ".github/requirements.txt"):
        assert not OLD.items() & found[name].items()


# --- uv where there is none -------------------------------------------------------------------------------------------


def without_uv(folder: Path) -> str:
    """A PATH with what make needs, and no uv."""
    folder.mkdir()
    for command in ("make", "bash", "sh", "sed", "cat", "env"):
        (folder / command).symlink_to(str(shutil.which(command)))
    (folder / "python3").symlink_to(sys.base_prefix + "/bin/python3")
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("tampered", [False, True])
def test_uv_is_installed_by_its_hash(project: Path, tmp_path: Path, tampered: bool) -> None:
    index = tmp_path / "index"
    index.mkdir()
    version = wheels.pinned(project)["requirements-dev.txt"]["uv"]
    uv = wheels.wheel(index, "uv", version, script="#!/bin/sh\n")
    digest = hashlib.sha256(uv.read_bytes()).hexdigest()
    edit(project / "requirements-dev.txt", r"^(uv==.*\n)(.*\\\n)*(.*\n)", rf"\1    --hash=sha256:{digest}\n")
    if tampered:
        wheels.wheel(index, "uv", version, script="#!/bin/sh\necho evil\n")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_USER": "1"}
    done = run(project, ".uv/bin/uv", path=without_uv(tmp_path / "bin"), **settings)
    assert (done.returncode == 0) is not tampered, done.stdout
    assert (project / ".uv/bin/uv").exists() is not tampered
    assert ("THESE PACKAGES DO NOT MATCH THE HASHES" in done.stdout) is tampered


def test_a_python_that_cannot_be_had_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    uv = tmp_path / "bin/uv"
    uv.write_text("#!/bin/sh\necho 'error: failed to download' >&2\nexit 2\n")
    uv.chmod(0o755)
    done = run(project, ".venv/.ready", path=f"{uv.parent}:{os.environ['PATH']}")
    wanted = (PROJECT / ".python-version").read_text().strip()
    assert done.returncode == 2
    assert f"no Python {wanted}: install it, or let uv download it from GitHub" in done.stdout


# --- A copy without history -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["check", "access-diff"])
def test_a_copy_without_history_is_told_what_it_needs(project: Path, target: str) -> None:
    done = run(project, target)
    assert done.returncode == 2
    assert "this needs a git repository with a commit: git init && git add --all && git commit" in done.stdout
    assert not (project / ".venv").exists(), "said before anything is installed"
