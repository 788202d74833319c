"""Both wheels of this version: from a folder, built from the repository, or put together from what is installed."""

import base64
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from cross_account_project.derive import DISTRIBUTIONS, REPOSITORY, ProjectError, version_of

_INSTALLERS = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


def find_wheels(folder: Path | None) -> dict[str, bytes]:
    """Return the content of the wheels by file name."""
    if folder:
        wheels = {path.name: path.read_bytes() for path in sorted(folder.glob("cross_account_api*.whl"))}
    elif (REPOSITORY / "functions/pyproject.toml").exists():
        wheels = _build()
    else:
        wheels = dict(map(_repack, DISTRIBUTIONS))
    if [version_of(name) for name in wheels] != [version_of(next(iter(wheels), ""))] * 2:
        place, there = folder or "this installation", ", ".join(wheels) or "no wheels"
        raise ProjectError(f"{place} has {there}. Needed: one version of both wheels, {' and '.join(DISTRIBUTIONS)}.")
    return wheels


def _build() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        for source in (REPOSITORY / "functions", REPOSITORY):
            command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
            done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise ProjectError(f"the wheels cannot be built:\n{done.stderr.strip()}")
        return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.whl"))}


def _repack(name: str) -> tuple[str, bytes]:
    """Put the files of an installed distribution back into a wheel."""
    try:
        installed = distribution(name)
    except PackageNotFoundError as error:
        raise ProjectError(f"{name} is not installed: name a folder with the wheels (--wheels)") from error
    contents = dict(_contents(installed))
    info = next(path.partition("/")[0] for path in contents if path.endswith(".dist-info/METADATA"))
    record = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in contents.items():
            wheel.writestr(zipfile.ZipInfo(path, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return f"{name.replace('-', '_')}-{installed.version}-py3-none-any.whl", target.getvalue()


def _contents(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    for file in sorted(installed.files or (), key=str):
        if file.parts[0] != ".." and file.suffix != ".pyc" and file.name not in _INSTALLERS:
            yield str(file), Path(str(file.locate())).read_bytes()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
