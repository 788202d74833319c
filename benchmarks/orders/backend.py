"""The example's backend: its first response, and what a request costs without waiting for DynamoDB."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks.functions import PROJECT, Function, build, invoke, runtime, zipped
from benchmarks.measure import Row
from benchmarks.server import Server


def measure(server: Server, folder: Path, turns: int = 15) -> Iterator[Row]:
    """Measure the backend, built in a folder, in environments that start cold."""
    package = build("OrdersFunction", folder)
    backend = Function("orders.handler.handler", (package, runtime(folder)))
    for method, name in (("POST", "api-create-order"), ("GET", "api-get-order")):
        event = json.loads((PROJECT / f"events/{name}.json").read_text())
        runs = [invoke(backend, [event] * 50, server.environment()) for _ in range(turns)]
        if any(invocation.result.get("statusCode") not in (200, 201) for run in runs for invocation in run):
            raise RuntimeError(f"an unexpected response: {runs}")
        warm = [1000 * statistics.median(invocation.cpu_seconds for invocation in run[10:]) for run in runs]
        yield Row(f"backend: processor time of a {method}", "", "ms", warm)
    yield Row("backend: process start to first response", "", "ms", [1000 * run[0].seconds for run in runs])
    yield Row("backend: memory after it", "", "MiB", [run[0].peak_mib for run in runs])
    yield Row("zip of the backend", "limit", "MB", [zipped(package) / 1e6], [2.5], 1.0)
