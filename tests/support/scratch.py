"""A folder to try commands in: a git repository, and make without what surrounds the tests."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Run git with an identity of its own, and return what it printed."""
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\n")


def commit(folder: Path, files: Mapping[str, str] = {}) -> str:
    """Write files into a repository, commit everything that changed, and return the revision."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "change")
    return git(folder, "rev-parse", "HEAD")


def make(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] = {},
    path: str = "",
    without: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run make with these tools, and without git's folder, another make and other variables that begin so."""
    others = ("GIT_", "MAKE", "MFLAGS", *without)
    own = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=own | {"PATH": path or f"{Path(sys.executable).parent}:{own['PATH']}"} | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
