"""Functions as Lambda runs them: their packages, the modules of the runtime, a process per execution environment."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROJECT = HERE.parent
BARE_PYTHON: str = sys._base_executable  # type: ignore[attr-defined]
"""The interpreter without the packages of this environment."""

_RUNTIME = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")


@dataclass(frozen=True)
class Function:
    """A handler (`package.module.function`) and the folders that it is imported from."""

    handler: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Invocation:
    """What the handler returned, times since the event arrived or the process started, its peak memory so far."""

    result: Any
    seconds: float
    cpu_seconds: float
    peak_mib: float


def build(function: str, folder: Path) -> Path:
    """Build the package of a function as SAM does, in a folder, and return it."""
    package = folder / function
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    subprocess.run(
        ["make", "--silent", f"build-{function}", f"ARTIFACTS_DIR={package}"],
        cwd=PROJECT / "functions",
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=True,
        timeout=300,
    )
    return package


def install(requirements: Path, folder: Path) -> Path:
    """Install requirements as SAM's Python builder does, without bytecode, and return the package."""
    package = folder / requirements.stem
    shutil.rmtree(package, ignore_errors=True)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes", "-t", str(package)]
    subprocess.run([*command, "-r", str(requirements)], check=True, timeout=300)
    return package


def runtime(folder: Path) -> Path:
    """Return a folder with what Lambda's Python runtime includes: boto3 and its requirements, from this environment."""
    target = folder / "runtime"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in _RUNTIME:
        package = distribution(name)
        for item in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            (target / item).symlink_to(Path(str(package.locate_file(item))))
    return target


def zipped(package: Path) -> int:
    """Return the size of a package's zip file in bytes."""
    return Path(shutil.make_archive(str(package), "zip", package)).stat().st_size


def invoke(function: Function, events: list[Any], environment: Mapping[str, str]) -> list[Invocation]:
    """Start an execution environment and let it handle events, one after another.

    Raises:
        RuntimeError: The process failed; the message contains its output.
    """
    process = subprocess.run(
        # Only the packages can be imported (not benchmarks.orders as `orders`), and no bytecode is written: in Lambda,
        # a package's folder is read-only.
        [BARE_PYTHON, "-S", "-B", "-P", HERE / "invoke.py", function.handler, str(time.monotonic())],
        env=dict(environment) | {"PYTHONPATH": ":".join(map(str, function.paths)), "LANG": "C.UTF-8"},
        input="".join(json.dumps(event) + "\n" for event in events),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    reports = [json.loads(line) for line in process.stderr.splitlines() if line.startswith('{"result"')]
    if process.returncode or len(reports) != len(events):
        raise RuntimeError(f"{function.handler} failed: {process.stderr[-2000:]}{process.stdout[-2000:]}")
    return [Invocation(**report) for report in reports]
