"""Git, with an identity for commits that the project makes itself."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cross_account_project.derive import ProjectError

_IDENTITY = {
    f"GIT_{role}_{name}": value
    for role in ("AUTHOR", "COMMITTER")
    for name, value in (
        ("NAME", "cross-account-api"),
        ("EMAIL", "cross-account-api@localhost"),
        ("DATE", "2000-01-01T00:00:00Z"),
    )
}


def is_anonymous(folder: Path) -> bool:
    """Return whether git does not know whose commits these are."""
    return run(folder, "config", "user.email").returncode != 0


def git(folder: Path, *arguments: str | Path, environment: Mapping[str, str] = {}, own_identity: bool = False) -> str:
    """Run a command and return its output; raise `ProjectError` with git's own words if it fails."""
    done = run(folder, *arguments, environment=environment, own_identity=own_identity)
    if done.returncode != 0:
        raise ProjectError((done.stderr or done.stdout).strip())
    return done.stdout.strip()


def run(
    folder: Path, *arguments: str | Path, environment: Mapping[str, str] = {}, own_identity: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command and return what became of it."""
    try:
        return subprocess.run(
            ["git", "-C", folder, *arguments],
            env={**os.environ, **environment, **(_IDENTITY if own_identity else {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ProjectError("git is not installed") from error
