"""The AWS configuration file: one profile is edited as text, and every other byte stays what it was."""

import configparser
import io
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}
"""Bytes that are not UTF-8 stay what they are as well."""


@dataclass(frozen=True)
class _Line:
    """A line of the file: the profile whose section it is in, and the setting that it belongs to."""

    text: str
    profile: str | None
    setting: str | None = None
    is_first: bool = False


def edit_profile(text: str, profile: str, settings: Mapping[str, str]) -> str:
    """Change settings of one profile.

    Args:
        text: The file's content.
        profile: The profile; its section is added at the end if there is none.
        settings: Values by name; an empty one removes the setting. Other settings and all comments stay.

    Returns:
        The new content.

    See https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = list(_read_lines(text))
    missing = {name: value for name, value in settings.items() if value}
    edited: list[str] = []
    end = None
    for line in lines:
        if line.profile != profile:
            edited.append(line.text)
            continue
        if line.setting is None or line.setting not in settings:
            edited.append(line.text)
        elif line.is_first and (value := missing.pop(line.setting, "")):
            edited.append(f"{line.setting} = {value}{newline}")
        if line.setting or _profile_of(line.text) is not None:
            end = len(edited)
    added = [f"{name} = {value}{newline}" for name, value in missing.items()]
    if end is None:
        blank = [newline] if lines and lines[-1].text.strip() else []
        added = [*blank, f"[{_header(profile)}]{newline}", *added]
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
    """Replace the file's content in one step, so that no reader finds half of it.

    Args:
        path: The file; a link to it stays a link. A new file is readable by its owner only.
        text: The new content.

    Returns:
        The copy of the file as it was; None for a new file.

    Raises:
        OSError: The file could not be written; it is as it was.
    """
    path = path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = None
    if path.exists():
        backup = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.bak")
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


def _read_lines(text: str) -> Iterator[_Line]:
    """Find where each line belongs, by the rules of `configparser`, which every AWS tool in Python uses."""
    profile = setting = None
    indent = 0
    for line in io.StringIO(text, newline=""):
        words = line.strip()
        if not words or words.startswith(("#", ";")):
            yield _Line(line, profile)
            continue
        depth = len(line) - len(line.lstrip())
        if setting and depth > indent:
            yield _Line(line, profile, setting)
            continue
        indent = depth
        if (header := _profile_of(line)) is not None:
            profile, setting = header, None
            yield _Line(line, profile)
            continue
        setting = words.replace(":", "=", 1).partition("=")[0].strip().lower()
        yield _Line(line, profile, setting, is_first=True)


def _header(profile: str) -> str:
    if profile == "default":
        return profile
    return f'profile "{profile}"' if " " in profile else f"profile {profile}"


def _profile_of(line: str) -> str | None:
    """Return the profile whose section a line begins, "" for a section of another kind, None for any other line."""
    match = configparser.RawConfigParser.SECTCRE.match(line.strip())
    if not match:
        return None
    try:
        words = shlex.split(match["header"])
    except ValueError:
        return ""
    if match["header"] == "default":
        return "default"
    return words[1] if len(words) == 2 and words[0] == "profile" else ""
