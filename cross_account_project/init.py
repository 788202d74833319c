"""Makes a project."""

from pathlib import Path

from cross_account_project.derive import ProjectError, project_files, require_name
from cross_account_project.git import git, is_anonymous, run
from cross_account_project.wheels import find_wheels


def init(folder: Path, name: str, wheels: Path | None = None) -> None:
    """Write a project into a new or empty folder and commit it.

    Raises:
        ProjectError: The name is not allowed, or something is in the folder; nothing was written.
    """
    require_name(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"DIR is {folder}, which is not empty. Allowed: a new or an empty folder.")
    contents = project_files(name, find_wheels(wheels))
    write(folder, contents)
    if run(folder, "rev-parse", "--is-inside-work-tree").returncode != 0:
        git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--force", ".")
    git(folder, "commit", "--quiet", "--message", f"Start {name}", "--", ".", own_identity=is_anonymous(folder))
    print(f"{len(contents)} files in {folder}, committed. Next: cd {folder} && make demo")  # noqa: T201


def write(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
