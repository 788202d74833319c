"""The example's backend: its first response, its handler without DynamoDB by part, and pages of many orders."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks.functions import BARE_PYTHON, PROJECT, Function, build, compile_folder, invoke, runtime, zipped
from benchmarks.measure import Row, interleave
from benchmarks.server import Server

_HERE = Path(__file__).parent
_ORDERS = (10, 100, 1000, 10_000, 100_000)
_MEGABYTES = 2.5


def measure(server: Server, folder: Path) -> tuple[list[Row], dict[str, Mapping[str, float]]]:
    """Measure all of it, with packages built in a folder.

    Returns:
        The rows, and for each request the share of the handler's time by part, from a profile.
    """
    package, runtime_modules, minimal = build("OrdersFunction", folder), runtime(folder), folder / "minimal_backend"
    minimal.mkdir(exist_ok=True)
    shutil.copy(_HERE / "minimal_backend.py", minimal)
    compile_folder(minimal)
    backend = Function("orders.handler.handler", (package, runtime_modules))
    baseline = Function("minimal_backend.handler", (minimal, package, runtime_modules))
    rows, profiles = _handler(server, backend, turns=15)
    size = zipped(package) / 1e6
    return [
        *_start(server, backend, baseline, turns=15),
        Row("zip of the backend", f"{_MEGABYTES} MB", "MB", [size], [_MEGABYTES], 1.0),
        *rows,
        *_pages(server, backend, turns=3),
    ], profiles


def _start(server: Server, backend: Function, baseline: Function, turns: int) -> Iterator[Row]:
    """Compare first responses."""
    request = _request("api-get-order")

    def first_response(function: Function) -> float:
        (invocation,) = invoke(function, [request], server.environment())
        if invocation.result.get("statusCode") != 200:
            raise RuntimeError(f"{function.handler} returned {invocation.result}")
        return 1000 * invocation.seconds

    contenders = {function.handler: partial(first_response, function) for function in (backend, baseline)}
    times = interleave(contenders, turns)
    yield Row(
        "backend: process start to first response",
        "minimal Powertools event handler with a DynamoDB client",
        "ms",
        times[backend.handler],
        times[baseline.handler],
        1.15,
    )


def _handler(server: Server, backend: Function, turns: int) -> tuple[list[Row], dict[str, Mapping[str, float]]]:
    """Compare the handler with a bare function that returns the same JSON; no request is sent."""
    rows, profiles = [], {}
    for name, event in (("POST", "api-create-order"), ("GET", "api-get-order")):
        completed = subprocess.run(
            [BARE_PYTHON, "-S", "-B", _HERE / "bare_backend.py", PROJECT / f"events/{event}.json", str(turns)],
            env=server.environment() | {"PYTHONPATH": ":".join(map(str, backend.paths)), "LANG": "C.UTF-8"},
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        report = json.loads(completed.stderr.splitlines()[-1])
        rows.append(
            Row(f"backend: {name} without I/O", "bare function, same JSON", "ms", report["ours"], report["bare"])
        )
        profiles[name] = report["profile"]
    return rows, profiles


def _pages(server: Server, backend: Function, turns: int) -> Iterator[Row]:
    """Measure whether a page costs more the more orders are stored."""
    seconds: dict[int, list[float]] = {size: [] for size in _ORDERS}
    request = _request("api-list-orders") | {
        "queryStringParameters": {"limit": "10"},
        "multiValueQueryStringParameters": {"limit": ["10"]},
    }
    for _ in range(turns):
        for size in _ORDERS:
            server.fill(size)
            _, *invocations = invoke(backend, [request] * 30, server.environment())
            for invocation in invocations:
                if len(json.loads(invocation.result["body"])["orders"]) != 10:
                    raise RuntimeError(f"not a page of 10 orders: {invocation.result}")
            seconds[size].append(1000 * statistics.median(invocation.handler_seconds for invocation in invocations))
    for size in _ORDERS:
        # The first ten orders are the only page, so no cursor is made.
        yield Row(f"time of a page of 10 among {size} orders", "among 100", "ms", seconds[size], seconds[100])


def _request(event: str) -> dict[str, object]:
    request: dict[str, object] = json.loads((PROJECT / f"events/{event}.json").read_text())
    return request
