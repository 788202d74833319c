"""Merges what a newer version generates into a project, by git itself.

Two commits, what the old version generated and what this one does, and a cherry-pick of the second: a three-way merge
with git's own conflicts, and with git's own way back.
"""

import subprocess
import sys
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from cross_account_project.derive import ProjectError, project_files, version_of
from cross_account_project.git import git, is_anonymous, run
from cross_account_project.init import write
from cross_account_project.wheels import find_wheels

# Run with the old wheel alone on the path, so that it generates what it did then.
_GENERATE = """
import sys
from pathlib import Path
wheel, folder, name, *wheels = sys.argv[1:]
sys.path.insert(0, wheel)
from cross_account_project.derive import project_files
from cross_account_project.init import write
write(Path(folder), project_files(name, {Path(file).name: Path(file).read_bytes() for file in wheels}))
"""


def upgrade(folder: Path, wheels: Path | None = None) -> bool:
    """Merge this version into a project, and return whether there were no conflicts.

    Raises:
        ProjectError: Nothing was changed.
    """
    folder = folder.resolve()
    name, old = _read_project(folder)
    if dirty := git(folder, "status", "--porcelain", "--untracked-files=no"):
        raise ProjectError(f"commit or stash your changes first, so that an upgrade can be undone:\n{dirty}")
    found = find_wheels(wheels)
    new = version_of(next(iter(found)))
    if old == new:
        print(f"{folder.name} is at {new} already.")  # noqa: T201
        return True
    prefix = git(folder, "rev-parse", "--show-prefix")
    with TemporaryDirectory() as temporary:
        before, after = Path(temporary, "before"), Path(temporary, "after")
        _generate_old(folder, before / prefix, name, old)
        write(after / prefix, project_files(name, found))
        base = _commit(folder, before, f"What {old} generates")
        theirs = _commit(folder, after, f"Upgrade cross-account-api from {old} to {new}", "-p", base)
    done = run(folder, "cherry-pick", theirs, own_identity=is_anonymous(folder))
    if done.returncode == 0:
        print(f"{folder.name} is at {new}. Next: make setup test demo")  # noqa: T201
        return True
    conflicts = git(folder, "diff", "--name-only", "--diff-filter=U")
    if not conflicts:
        raise ProjectError(done.stderr.strip())
    print(  # noqa: T201
        f"{new} is merged but for conflicts in:\n{conflicts}\n"
        "Resolve them, then: git add . && git cherry-pick --continue\n"
        "Or go back to how it was: git cherry-pick --abort"
    )
    return False


def _read_project(folder: Path) -> tuple[str, str]:
    """Return the project's name and the version that made it."""
    try:
        made = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["cross-account-api"]
        return str(made["name"]), str(made["version"])
    except (FileNotFoundError, KeyError, tomllib.TOMLDecodeError) as error:
        message = f"{folder} is no project of `cross-account-api init`: pyproject.toml has no [tool.cross-account-api]."
        raise ProjectError(message) from error


def _generate_old(folder: Path, target: Path, name: str, version: str) -> None:
    wheels = sorted((folder / "wheels").glob(f"cross_account_api*-{version}-*.whl"))
    development = next((wheel for wheel in wheels if wheel.name.startswith("cross_account_api_dev-")), None)
    if development is None or len(wheels) != 2:
        raise ProjectError(f"{folder / 'wheels'} must hold both wheels of {version}, which the project was made with.")
    command: list[str | Path] = [sys.executable, "-I", "-c", _GENERATE, development, target, name, *wheels]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProjectError(f"{development.name} does not generate the project again:\n{done.stderr.strip()}")


def _commit(folder: Path, work_tree: Path, message: str, *parent: str) -> str:
    """Commit a folder as it is, without touching the project's index or files."""
    top = Path(git(folder, "rev-parse", "--show-toplevel"))
    index = {"GIT_INDEX_FILE": str(work_tree.parent / f"{work_tree.name}.index")}
    git(top, f"--work-tree={work_tree}", "add", "--all", "--force", ".", environment=index)
    tree = git(top, "write-tree", environment=index)
    return git(folder, "commit-tree", tree, *parent, "-m", message, own_identity=True)
