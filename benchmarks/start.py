"""From process start to the first response: time, memory, size of the package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.functions import Function, build, compile_folder, install, invoke, runtime, zipped
from benchmarks.measure import Row, interleave
from benchmarks.server import Server

BASELINES = Path(__file__).parent / "baselines"


@dataclass(frozen=True)
class Packages:
    """Our functions and the baselines.

    Attributes:
        minimal_caller: The smallest program that makes the same call with the same libraries.
        typical_caller: The same call with the imports of a typical function, without bytecode.
        sizes: Bytes of the zip files of `caller` and `typical`.
    """

    caller: Function
    minimal_caller: Function
    typical_caller: Function
    sizes: Mapping[str, int]


def build_packages(folder: Path) -> Packages:
    """Build all packages in a folder."""
    caller = build("CallerFunction", folder)
    typical = install(BASELINES / "typical-requirements.txt", folder)
    shutil.copy(BASELINES / "typical_caller.py", typical)
    minimal = folder / "minimal"
    minimal.mkdir(exist_ok=True)
    shutil.copy(BASELINES / "minimal_caller.py", minimal)
    compile_folder(minimal)
    runtime_modules = runtime(folder)
    return Packages(
        caller=Function("cross_account_caller.handler.handler", (caller, runtime_modules)),
        minimal_caller=Function("minimal_caller.handler", (minimal, caller, runtime_modules)),
        typical_caller=Function("typical_caller.handler", (typical, runtime_modules)),
        sizes={"caller": zipped(caller), "typical": zipped(typical)},
    )


def measure(server: Server, packages: Packages, turns: int) -> Iterator[Row]:
    """Compare first responses."""
    environment = server.environment()
    memory: dict[str, list[float]] = {}

    def first_response(name: str, function: Function) -> float:
        (invocation,) = invoke(function, [{"path": "/verified"}], environment)
        if invocation.result.get("status") != 200:
            raise RuntimeError(f"{name} returned {invocation.result}")
        memory.setdefault(name, []).append(invocation.peak_mib)
        return 1000 * invocation.seconds

    times = interleave(
        {
            name: partial(first_response, name, function)
            for name, function in (
                ("caller", packages.caller),
                ("minimal caller", packages.minimal_caller),
                ("typical caller", packages.typical_caller),
            )
        },
        turns,
    )
    first = "process start to first signed response"
    minimal, typical = "minimal program with the same libraries", "typical package: Tracer, no bytecode"
    yield Row(first, minimal, "ms", times["caller"], times["minimal caller"], 1.10)
    yield Row(first, typical, "ms", times["caller"], times["typical caller"], 0.50)
    yield Row("memory after the first call", typical, "MiB", memory["caller"], memory["typical caller"], 0.75)
    yield Row("zip of the caller", "3.6 MB", "MB", [packages.sizes["caller"] / 1e6], [3.6], 1.0)
    yield Row(
        "zip of the caller",
        "typical package",
        "MB",
        [packages.sizes["caller"] / 1e6],
        [packages.sizes["typical"] / 1e6],
    )
