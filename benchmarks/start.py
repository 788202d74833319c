"""From process start to the first response: time, memory, size of the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.functions import PROJECT, Function, build, compile_folder, install, invoke, runtime, zipped
from benchmarks.measure import Row, interleave
from benchmarks.server import Server

BASELINES = Path(__file__).parent / "baselines"


@dataclass(frozen=True)
class Packages:
    """Our functions and the baselines.

    Attributes:
        minimal_caller: The smallest program that makes the same call with the same libraries.
        minimal_backend: The smallest program that responds to the same request with the same libraries.
        typical_caller: The same call with the imports of a typical function, without bytecode.
        sizes: Bytes of the zip files of `caller`, `backend` and `typical`.
    """

    caller: Function
    backend: Function
    minimal_caller: Function
    minimal_backend: Function
    typical_caller: Function
    sizes: Mapping[str, int]


def build_packages(folder: Path) -> Packages:
    """Build all packages in a folder."""
    caller, backend = build("CallerFunction", folder), build("OrdersFunction", folder)
    typical = install(BASELINES / "typical-requirements.txt", folder)
    shutil.copy(BASELINES / "typical_caller.py", typical)
    minimal = folder / "minimal"
    minimal.mkdir(exist_ok=True)
    for name in ("minimal_caller.py", "minimal_backend.py"):
        shutil.copy(BASELINES / name, minimal)
    compile_folder(minimal)
    runtime_modules = runtime(folder)
    return Packages(
        caller=Function("caller.handler.handler", (caller, runtime_modules)),
        backend=Function("orders.handler.handler", (backend, runtime_modules)),
        minimal_caller=Function("minimal_caller.handler", (minimal, caller, runtime_modules)),
        minimal_backend=Function("minimal_backend.handler", (minimal, backend, runtime_modules)),
        typical_caller=Function("typical_caller.handler", (typical, runtime_modules)),
        sizes={"caller": zipped(caller), "backend": zipped(backend), "typical": zipped(typical)},
    )


def measure(server: Server, packages: Packages, turns: int) -> Iterator[Row]:
    """Compare first responses."""
    environment = server.environment()
    call, request = {"path": "/verified"}, json.loads((PROJECT / "events/api-get-order.json").read_text())
    memory: dict[str, list[float]] = {}

    def first_response(name: str, function: Function, event: object) -> float:
        (invocation,) = invoke(function, [event], environment)
        if (invocation.result.get("status") or invocation.result.get("statusCode")) != 200:
            raise RuntimeError(f"{name} returned {invocation.result}")
        memory.setdefault(name, []).append(invocation.peak_mib)
        return 1000 * invocation.seconds

    times = interleave(
        {
            name: partial(first_response, name, function, event)
            for name, function, event in (
                ("caller", packages.caller, call),
                ("minimal caller", packages.minimal_caller, call),
                ("typical caller", packages.typical_caller, call),
                ("backend", packages.backend, request),
                ("minimal backend", packages.minimal_backend, request),
            )
        },
        turns,
    )
    first = "process start to first signed response"
    minimal, typical = "minimal program with the same libraries", "typical package: Tracer, no bytecode"
    yield Row(first, minimal, "ms", times["caller"], times["minimal caller"], 1.10)
    yield Row(first, typical, "ms", times["caller"], times["typical caller"], 0.50)
    yield Row("memory after the first call", typical, "MiB", memory["caller"], memory["typical caller"], 0.75)
    yield Row(
        "backend: process start to first response",
        "minimal Powertools event handler with a DynamoDB client",
        "ms",
        times["backend"],
        times["minimal backend"],
        1.15,
    )
    for name, limit in (("caller", 3.6), ("backend", 2.5)):
        yield Row(f"zip of the {name}", f"{limit} MB", "MB", [packages.sizes[name] / 1e6], [limit], 1.0)
    yield Row(
        "zip of the caller",
        "typical package",
        "MB",
        [packages.sizes["caller"] / 1e6],
        [packages.sizes["typical"] / 1e6],
    )
