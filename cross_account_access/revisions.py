"""The templates of a revision: those with a section in samconfig.toml, or any others."""

import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cross_account_access.engine.sources import EngineError, Files, Source, load, of_folder, of_revision

CONFIG = "samconfig.toml"
# The backend's own list of the roles whose sessions it serves.
WATCHED = frozenset({"AWS::Lambda::Function.Environment.Variables.EXECUTOR_ROLE_IDS"})


class RevisionError(EngineError):
    """A revision, or a template, does not exist."""


def repository_of(folder: Path) -> Path:
    """Return the repository that a folder belongs to."""
    return Path(_git(folder, "rev-parse", "--show-toplevel").strip())


def files_of(repository: Path, revision: str | None) -> Files:
    """Return a reader of a revision's files; without a revision, of the working copy's.

    Raises:
        RevisionError: There is no such revision.
    """
    if revision is None:
        return of_folder(repository)
    commit = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    return of_revision(repository, commit)


def sources(files: Files, templates: Sequence[str], parameters: Mapping[str, str]) -> list[Source]:
    """Read those of the templates that a revision has; their own files are looked for beside them."""
    found = []
    for name in templates:
        content = files(name)
        if content is None:
            continue
        folder = Path(name).parent

        def beside(path: str, folder: Path = folder) -> bytes | None:
            return files(str(folder / path))

        source = load(content.decode(errors="replace"), name, watched=WATCHED, files=beside)
        declared = source.template.get("Parameters") or {}
        given = {key: value for key, value in parameters.items() if key in declared}
        found.append(replace(source, parameters=given))
    return found


def configured(files: Files) -> Iterator[str]:
    """Find the templates that have a section in samconfig.toml."""
    content = files(CONFIG)
    try:
        environments = tomllib.loads(content.decode()) if content else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RevisionError(f"{CONFIG} cannot be read: {error}") from error
    for commands in environments.values():
        for command in commands.values() if isinstance(commands, dict) else ():
            given: Any = command.get("parameters", {}) if isinstance(command, dict) else {}
            template = given.get("template_file", given.get("template"))
            # What `sam build` writes is made of another template.
            if isinstance(template, str) and ".aws-sam" not in template:
                yield template


def _git(folder: Path, *arguments: str) -> str:
    answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    if answer.returncode:
        reason = answer.stderr.strip().splitlines()
        raise RevisionError(reason[-1] if reason else f"git does not know {arguments[-1].removesuffix('^{commit}')}")
    return answer.stdout
