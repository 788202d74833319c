"""The folder with the templates: the current one, or the next above it that has them."""

from pathlib import Path

MARKER = "template-account-a.yaml"

PROJECT = next((folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / MARKER).exists()), Path.cwd())


class NoProjectError(SystemExit):
    """There is no project here: the process ends with this sentence instead of a traceback."""


def require_project() -> None:
    """Raise `NoProjectError` where no templates were found."""
    if not (PROJECT / MARKER).exists():
        raise NoProjectError(f"{MARKER} is neither in {PROJECT} nor above it: change to the folder of your project.")
