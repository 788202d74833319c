"""A folder of wheels without code in place of the package index: what is pinned here, with its dependencies."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from cross_account_access.templates import PROJECT

LOCKS = (
    "requirements*.txt",
    "cross_account_project/files/requirements.txt",
    "cross_account_lab/requirements.txt",
    ".github/requirements.txt",
    "functions/*/requirements.txt",
)


def pinned(folder: Path) -> dict[str, dict[str, str]]:
    """The version of each package, by lock file."""
    return {
        str(path.relative_to(folder)): dict(re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.M))
        for pattern in LOCKS
        for path in folder.glob(pattern)
    }


def write(folder: Path, others: Mapping[str, str]) -> Path:
    """Make wheels of what is pinned, and of other versions, which need nothing."""
    versions = {pin for pins in pinned(PROJECT).values() for pin in pins.items()}
    for name, version in sorted(versions):
        wheel(folder, name, version, _metadata(name, version))
    for name, version in others.items():
        wheel(folder, name, version)
    return folder


def wheel(folder: Path, name: str, version: str, metadata: str = "", tag: str = "py3-none-any", **files: str) -> Path:
    """Make one wheel of some modules; `script` is the command of its name."""
    stem = f"{re.sub('[-_.]+', '_', name)}-{version}"
    path = folder / f"{stem}-{tag}.whl"
    files = {f"{stem}.data/scripts/{name}" if file == "script" else f"{file}.py": text for file, text in files.items()}
    files |= {
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = f"{stem}.dist-info/RECORD"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(record, "".join(f"{file},,\n" for file in (*files, record)))
    return path


def _metadata(name: str, version: str) -> str:
    """What a package that is installed here needs; one of another platform needs nothing."""
    stem = f"{re.sub('[-_.]+', '_', name)}-{version}.dist-info"
    for path in PROJECT.glob(f".*venv/lib/python*/site-packages/{stem}/METADATA"):
        head = path.read_text().partition("\n\n")[0]
        return "".join(f"{line}\n" for line in re.findall(r"^(?:Requires|Provides-Extra).*", head, re.M))
    return ""
