"""What the backend's handler costs without DynamoDB, by part."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.functions import BARE_PYTHON, PROJECT, Function
from benchmarks.measure import Row
from benchmarks.server import Server

_PROGRAM = Path(__file__).parent / "baselines" / "bare_backend.py"


def measure(server: Server, backend: Function, turns: int) -> tuple[list[Row], dict[str, Mapping[str, float]]]:
    """Compare the handler with a bare function that returns the same JSON; no request is sent.

    Returns:
        The rows, and for each request the share of the handler's time by part, from a profile.
    """
    rows, profiles = [], {}
    for name, event in (("POST", "api-create-order"), ("GET", "api-get-order")):
        completed = subprocess.run(
            [BARE_PYTHON, "-S", "-B", _PROGRAM, PROJECT / f"events/{event}.json", str(turns)],
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
