"""The AWS configuration file: one profile is edited as text, and every other byte stays what it was."""

import configparser
import io
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}
"""Bytes that are not UTF-8 stay what they are as well."""


def edit_profile(text: str, profile: str, settings: Mapping[str, str]) -> str:
    """Return the file with changes to one profile, by the rules of `configparser`, which AWS's tools in Python use.

    An empty value removes its setting; other settings and all comments stay. A new profile is added at the end.

    See https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    missing = {name: value for name, value in settings.items() if value}
    edited: list[str] = []
    section = end = None
    setting, indent = "", 0
    for line in io.StringIO(text, newline=""):
        words = line.strip()
        if not words or words.startswith(("#", ";")):
            edited.append(line)
            continue
        depth = len(line) - len(line.lstrip())
        is_continuation = setting != "" and depth > indent
        if not is_continuation:
            indent = depth
            if (header := _profile_of(words)) is not None:
                section, setting = header, ""
            else:
                setting = words.replace(":", "=", 1).partition("=")[0].strip().lower()
        if section != profile or setting not in settings:
            edited.append(line)
        elif not is_continuation and (value := missing.pop(setting, "")):
            edited.append(f"{setting} = {value}{newline}")
        if section == profile:
            end = len(edited)
    added = [f"{name} = {value}{newline}" for name, value in missing.items()]
    if end is None:
        blank = [newline] if edited and edited[-1].strip() else []
        name = f'"{profile}"' if " " in profile else profile
        header = "default" if profile == "default" else f"profile {name}"
        added = [*blank, f"[{header}]{newline}", *added]
        end = len(edited)
    if added and end and not edited[end - 1].endswith(("\n", "\r")):
        edited[end - 1] += newline
    return "".join([*edited[:end], *added, *edited[end:]])


def read_file(path: Path) -> str:
    """Read the file; a missing one is empty."""
    try:
        return path.read_bytes().decode(**_ENCODING)
    except FileNotFoundError:
        return ""


def write_file(path: Path, text: str) -> Path | None:
    """Replace the file's content in one step, so that no reader finds half of it, and return the copy of what it was.

    A link stays a link. A new file is readable by its owner only, and there is no copy. The copy replaces the last one.

    Raises:
        OSError: The file could not be written; it is as it was.
    """
    path = path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = None
    if path.exists():
        backup = path.with_name(f"{path.name}.call-api.bak")
        shutil.copy2(path, backup)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode(**_ENCODING))
        if backup:
            shutil.copymode(backup, temporary)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink()
        raise
    return backup


def _profile_of(line: str) -> str | None:
    """Return the profile whose section a line begins, "" for a section of another kind, None for any other line."""
    match = configparser.RawConfigParser.SECTCRE.match(line)
    if not match or match["header"] == "default":
        return "default" if match else None
    try:
        words = shlex.split(match["header"])
    except ValueError:
        return ""
    return words[1] if len(words) == 2 and words[0] == "profile" else ""
