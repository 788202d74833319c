"""From nothing to the first answer, and what that takes: time, memory, size of the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.functions import PROJECT, Function, build, compile_folder, install, invoke, runtime, zipped
from benchmarks.measure import Row, take_turns
from benchmarks.server import Server

CONTESTANTS = Path(__file__).parent / "contestants"


@dataclass(frozen=True)
class Packages:
    """What takes part.

    Attributes:
        caller: The caller as built.
        backend: The backend as built.
        cheapest_caller: The least that makes the same call with the same libraries.
        cheapest_backend: The least that answers the same request with the same libraries.
        usual_caller: The same call with what most functions bring along, without bytecode.
        sizes: Bytes of the zip files of `caller` and `backend`, and of the usual package, by name.
    """

    caller: Function
    backend: Function
    cheapest_caller: Function
    cheapest_backend: Function
    usual_caller: Function
    sizes: Mapping[str, int]


def build_packages(folder: Path) -> Packages:
    """Build the functions' packages and the contestants'.

    Args:
        folder: Where they are put.

    Returns:
        The packages.
    """
    caller, backend = build("CallerFunction", folder), build("OrdersFunction", folder)
    usual = install(CONTESTANTS / "usual-requirements.txt", folder)
    shutil.copy(CONTESTANTS / "usual_caller.py", usual)
    cheapest = folder / "cheapest"
    cheapest.mkdir(exist_ok=True)
    for name in ("cheapest_caller.py", "cheapest_backend.py"):
        shutil.copy(CONTESTANTS / name, cheapest)
    compile_folder(cheapest)
    brought = runtime(folder)
    return Packages(
        caller=Function("caller.handler.handler", (caller, brought)),
        backend=Function("orders.handler.handler", (backend, brought)),
        cheapest_caller=Function("cheapest_caller.handler", (cheapest, caller, brought)),
        cheapest_backend=Function("cheapest_backend.handler", (cheapest, backend, brought)),
        usual_caller=Function("usual_caller.handler", (usual, brought)),
        sizes={"caller": zipped(caller), "backend": zipped(backend), "usual": zipped(usual)},
    )


def measure(server: Server, packages: Packages, turns: int) -> Iterator[Row]:
    """Compare first answers.

    Args:
        server: What answers.
        packages: What is started.
        turns: How often each is.

    Yields:
        The rows.
    """
    environment = server.environment()
    call, request = {"path": "/verified"}, json.loads((PROJECT / "events/api-get-order.json").read_text())
    memory: dict[str, list[float]] = {}

    def first_answer(name: str, function: Function, event: object) -> float:
        (invocation,) = invoke(function, [event], environment)
        if (invocation.answer.get("status") or invocation.answer.get("statusCode")) != 200:
            raise RuntimeError(f"{name} answered {invocation.answer}")
        memory.setdefault(name, []).append(invocation.peak_mib)
        return 1000 * invocation.seconds

    times = take_turns(
        {
            name: partial(first_answer, name, function, event)
            for name, function, event in (
                ("caller", packages.caller, call),
                ("cheapest caller", packages.cheapest_caller, call),
                ("usual caller", packages.usual_caller, call),
                ("backend", packages.backend, request),
                ("cheapest backend", packages.cheapest_backend, request),
            )
        },
        turns,
    )
    first = "process start to first signed answer"
    cheapest, usual = "cheapest program with the same libraries", "usual package: Tracer, no bytecode"
    yield Row(first, cheapest, "ms", times["caller"], times["cheapest caller"], 1.10)
    yield Row(first, usual, "ms", times["caller"], times["usual caller"], 0.50)
    yield Row("memory after the first call", usual, "MiB", memory["caller"], memory["usual caller"], 0.75)
    yield Row(
        "backend: process start to first answer",
        "cheapest Powertools event handler with a DynamoDB client",
        "ms",
        times["backend"],
        times["cheapest backend"],
        1.15,
    )
    for name, limit in (("caller", 2.0), ("backend", 2.5)):
        yield Row(f"zip of the {name}", f"{limit} MB", "MB", [packages.sizes[name] / 1e6], [limit], 1.0)
    yield Row(
        "zip of the caller", "usual package", "MB", [packages.sizes["caller"] / 1e6], [packages.sizes["usual"] / 1e6]
    )
