"""Many calls from the queue, 32 at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.functions import Function, invoke
from benchmarks.measure import Row
from benchmarks.server import Server

_WORKERS = 32
_API_SECONDS = 0.020
_QUEUED = (1, 10, 100, 1000, 10_000)


def measure_calls(server: Server, caller: Function, turns: int) -> Iterator[Row]:
    """Make 1000 queued calls to an API that responds in 20 ms, in environments that start cold."""
    calls = 1000
    sessions, seconds = [], []
    for _ in range(turns):
        server.count()
        cold, warm = invoke(caller, [_batch(calls, "/delay/20"), _batch(calls, "/delay/20")], server.environment())
        for invocation in (cold, warm):
            _require_success(invocation.result)
        sessions.append(float(server.count()["AssumeRole"]))
        seconds.append(warm.handler_seconds)
    ideal = calls * _API_SECONDS / _WORKERS
    yield Row(
        f"{calls} queued calls, {_WORKERS} at a time, API responding in 20 ms",
        f"ideal: {calls} x 20 ms / {_WORKERS}",
        "s",
        seconds,
        [ideal] * turns,
        1.5,
    )
    yield Row(
        f"AssumeRole for {2 * calls} calls, {_WORKERS} threads starting cold", "1", "", sessions, [1.0] * turns, 1.0
    )


def measure_scale(server: Server, caller: Function, turns: int) -> Iterator[Row]:
    """Measure whether a call costs more the more are queued."""
    per_call: dict[int, list[float]] = {size: [] for size in _QUEUED}
    batches = [_batch(size, "/whoami") for size in _QUEUED]
    for _ in range(turns):
        _, *invocations = invoke(caller, [_batch(_WORKERS, "/whoami"), *batches], server.environment())
        for size, invocation in zip(_QUEUED, invocations, strict=True):
            _require_success(invocation.result)
            per_call[size].append(1000 * invocation.cpu_seconds / size)
    for size in _QUEUED:
        yield Row(f"processor time of a call among {size} queued", "among 100", "ms", per_call[size], per_call[100])


def _batch(size: int, path: str) -> dict[str, Any]:
    body = json.dumps({"path": path})
    return {"Records": [{"messageId": str(number), "eventSource": "aws:sqs", "body": body} for number in range(size)]}


def _require_success(result: object) -> None:
    if result != {"batchItemFailures": []}:
        raise RuntimeError(f"calls failed: {str(result)[:200]}")
