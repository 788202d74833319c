"""`make bench`: measure, print the table, write build/benchmarks.json and docs/benchmarks.svg."""

from __future__ import annotations

import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from benchmarks import bulk, start, warm
from benchmarks.functions import PROJECT
from benchmarks.measure import Row
from benchmarks.plot import draw
from benchmarks.server import running

# These are deleted along with the example.
_EXAMPLE = ["backend"] if find_spec("benchmarks.orders") else []
_GROUPS = ("start", "warm", "bulk", "scale", *_EXAMPLE)
_LIBRARIES = ("aws-lambda-powertools", "boto3", "requests", "requests-aws4auth", "urllib3", "httpx", "awscurl")


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice(_GROUPS))
def main(groups: Sequence[str]) -> None:
    """Run the benchmarks, or some groups of them; only a complete run writes the files."""
    rows: list[Row] = []
    profiles: dict[str, Any] = {}
    build = PROJECT / "build/benchmarks"
    build.mkdir(parents=True, exist_ok=True)
    packages = start.build_packages(build)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        for group in groups or _GROUPS:
            click.echo(f"{group} …", err=True)
            match group:
                case "start":
                    measured = list(start.measure(server, packages, turns=15))
                case "warm":
                    measured = list(warm.measure(server, turns=40))
                case "bulk":
                    measured = list(bulk.measure_calls(server, packages.caller, turns=7))
                case "scale":
                    measured = list(bulk.measure_scale(server, packages.caller, turns=3))
                case "backend":
                    measured, profiles = importlib.import_module("benchmarks.orders.backend").measure(server, build)
            rows += [row.with_command(f"python -m benchmarks {group}") for row in measured]
    _print(rows)
    for name, shares in profiles.items():
        click.echo(f"backend: {name} by part: " + ", ".join(f"{part} {share:.0%}" for part, share in shares.items()))
    if not groups:
        report = {"machine": _machine(), "rows": [_as_json(row) for row in rows], "backend_profile": profiles}
        (PROJECT / "build/benchmarks.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (PROJECT / "docs/benchmarks.svg").write_text(draw(rows), encoding="utf-8")
    missed = [row for row in rows if row.reached is False]
    click.echo(f"{len(missed)} of {sum(row.target is not None for row in rows)} targets missed")


def _print(rows: Sequence[Row]) -> None:
    """Print the table; `ours` and `theirs` are medians, the spread is the middle half of the ratios."""
    lines = [("what", "against", "ratio", "spread", "ours", "theirs", "target", "", "command")]
    lines += [
        (
            row.what,
            row.against,
            f"{row.ratio:.3g}",
            f"{row.spread[0]:.3g} to {row.spread[1]:.3g}",
            f"{statistics.median(row.ours):.3g} {row.unit}",
            f"{statistics.median(row.theirs):.3g} {row.unit}",
            "" if row.target is None else f"≤ {row.target:.3g}",
            {None: "", True: "✓", False: "✗"}[row.reached],
            row.command,
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _as_json(row: Row) -> dict[str, Any]:
    return asdict(row) | {"ratio": row.ratio, "spread": row.spread, "reached": row.reached}


def _machine() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


if __name__ == "__main__":
    main()
