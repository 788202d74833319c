"""What a function sees from inside its container: the handler of packages that `package_with_probe` makes.

The module runs there too, so it imports nothing of the project.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cross_account_lab.containers.lab import ContainerLab
    from cross_account_lab.functions import Function

FOLDERS = ("/var/task", "/tmp")  # noqa: S108 - Lambda's

_compiled: list[str] = []


def package_with_probe(containers: ContainerLab, function: Function, *, bytecode: bool = True) -> Path:
    """Return a copy of a function's built package with this module added."""
    package = containers.lab.folder / f"{function.name}-{'probe' if bytecode else 'source'}"
    ignored = shutil.ignore_patterns() if bytecode else shutil.ignore_patterns("__pycache__")
    shutil.copytree(containers.package(function), package, ignore=ignored)
    shutil.copy(__file__, package / "probe.py")
    return package


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Report what the event asks for."""
    if "sleep" in event:
        time.sleep(event["sleep"])
    return {
        "environment": dict(os.environ),
        "python": list(sys.version_info[:2]),
        "path": sys.path,
        "boto3": importlib.import_module("boto3").__file__,
        "compiled": _compiled,
        "loaded": [name for name, module in sys.modules.items() if _is_of_the_package(module)],
        "write": {folder: _write(folder) for folder in FOLDERS},
        "memory": context.memory_limit_in_mb,
        "remaining": context.get_remaining_time_in_millis(),
    }


def _is_of_the_package(module: Any) -> bool:
    return str(getattr(module, "__file__", None)).startswith("/var/task/")


def _write(folder: str) -> str:
    try:
        Path(folder, "written").write_text("x")
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "compile" and str(arguments[1]).startswith("/var/task/"):
        _compiled.append(str(arguments[1]))


if "LAMBDA_TASK_ROOT" in os.environ:
    # https://docs.python.org/3/library/audit_events.html: importing a module without bytecode compiles it.
    sys.addaudithook(_watch)
    for _handler in Path(os.environ["LAMBDA_TASK_ROOT"]).glob("*/handler.py"):
        importlib.import_module(f"{_handler.parent.name}.handler")
