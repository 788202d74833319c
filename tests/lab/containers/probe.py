"""Which modules of a function's package are compiled at its start: a handler that is added to the package.

It runs there, so it imports nothing of the project.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

_compiled: list[str] = []


def handler(event: dict[str, Any], context: Any) -> list[str]:
    return _compiled


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "compile" and str(arguments[1]).startswith("/var/task/"):
        _compiled.append(str(arguments[1]))


if "LAMBDA_TASK_ROOT" in os.environ:
    # https://docs.python.org/3/library/audit_events.html: importing a module without bytecode compiles it.
    sys.addaudithook(_watch)
    for _module in Path(os.environ["LAMBDA_TASK_ROOT"]).glob("*/handler.py"):
        importlib.import_module(f"{_module.parent.name}.handler")
    importlib.import_module("without_bytecode")
