"""The caller's function: its first response beside the usual function's, and calls from its queue."""

import json
import shutil
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.functions import Function, Invocation, build, install, invoke, runtime, zipped
from benchmarks.measure import Row, interleave
from benchmarks.server import Server

_HANDLER = "cross_account_caller.handler.handler"
_BASELINES = Path(__file__).parent / "baselines"


def measure_start(server: Server, folder: Path, turns: int = 15) -> Iterator[Row]:
    """Compare the caller with the usual function, both built in a folder."""
    ours = build("CallerFunction", folder)
    usual = install(_BASELINES / "usual-requirements.txt", folder)
    shutil.copy(_BASELINES / "usual_caller.py", usual)
    modules = runtime(folder)
    functions = {
        "ours": Function(_HANDLER, (ours, modules)),
        "usual": Function("usual_caller.handler", (usual, modules)),
    }

    def calls(function: Function) -> list[Invocation]:
        invocations = invoke(function, [{"path": "/verified"}] * 10, server.environment())
        if any(invocation.result.get("status") != 200 for invocation in invocations):
            raise RuntimeError(f"{function.handler} returned {invocations[-1].result}")
        return invocations

    turns_of = interleave({name: partial(calls, function) for name, function in functions.items()}, turns)

    def compare(what: str, unit: str, target: float, value: Callable[[list[Invocation]], float]) -> Row:
        ours, theirs = (list(map(value, turns_of[name])) for name in functions)
        return Row(what, "usual function: Tracer, no bytecode", unit, ours, theirs, target)

    yield compare("process start to first signed response", "ms", 0.5, lambda turn: 1000 * turn[0].seconds)
    yield compare("each later call", "ms", 0.05, _later)
    yield compare("memory after the first call", "MiB", 0.75, lambda turn: turn[0].peak_mib)
    yield Row("zip of the caller", "limit", "MB", [zipped(ours) / 1e6], [3.6], 1.0)


def _later(turn: list[Invocation]) -> float:
    return 1000 * statistics.median(invocation.seconds for invocation in turn[1:])


def measure_queue(server: Server, folder: Path, turns: int = 7) -> Iterator[Row]:
    """Measure the caller's function, built in a folder, with messages of its queue, in environments that start cold."""
    caller = Function(_HANDLER, (build("CallerFunction", folder), runtime(folder)))
    many, ten, large = _batch(1000, "/delay/20"), _batch(10, "/whoami"), _batch(10, "/size/6000000")
    values: dict[str, list[float]] = defaultdict(list)
    for _ in range(turns):
        _, bulk, *tens, last = invoke(caller, [ten, many, *[ten] * 20, large], server.environment())
        if any(each.result != {"batchItemFailures": []} for each in (bulk, *tens, last)):
            raise RuntimeError("calls failed")
        values["all"].append(bulk.seconds)
        values["each"].append(bulk.cpu_seconds)
        values["ten"].append(100 * statistics.median(invocation.cpu_seconds for invocation in tens))
        values["memory"].append(last.peak_mib)
    yield Row("1000 queued calls", "ideal: 1000 x 20 ms / 32 at a time", "s", values["all"], [0.625] * turns)
    yield Row("processor time of each, with parsing, log and metrics", "", "ms", values["each"])
    yield Row("processor time of a queued call, in batches of ten", "", "ms", values["ten"])
    yield Row("memory after ten responses of 6 MB at a time", "", "MiB", values["memory"])


def _batch(size: int, path: str) -> dict[str, Any]:
    body = json.dumps({"path": path})
    return {"Records": [{"messageId": str(number), "eventSource": "aws:sqs", "body": body} for number in range(size)]}
