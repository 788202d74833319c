"""`make bench`: measure, and print a table in Markdown."""

import importlib
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import click

from benchmarks import caller, peers
from benchmarks.functions import PROJECT
from benchmarks.measure import Row
from benchmarks.server import Server, running

# The backend is deleted along with the example.
_GROUPS = ("start", "warm", "bulk", "queue", *(["backend"] if find_spec("benchmarks.orders") else []))
_LIBRARIES = ("boto3", "requests", "requests-aws4auth", "urllib3", "httpx", "aws-lambda-powertools")
_TEXT = """\
On {cores} cores with Python {python}: {libraries}.
The API is a process on the same machine that responds at once. All take turns; times are medians, a ratio is the median
of those within each turn, and the spread is their middle half. Less is better.

| what | here | against | there | ratio | spread | target |
|---|---|---|---|---|---|---|"""


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice(_GROUPS))
def main(groups: Sequence[str]) -> None:
    """Run the benchmarks, or some groups of them."""
    folder = PROJECT / "build/benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as certificates, running(Path(certificates)) as server:
        rows = [row for group in groups or _GROUPS for row in _measure(group, server, folder)]
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    click.echo(_TEXT.format(cores=os.process_cpu_count(), python=platform.python_version(), libraries=libraries))
    for row in rows:
        click.echo(row)
    missed = [row for row in rows if row.reached is False]
    click.echo(f"{len(missed)} of {sum(row.target is not None for row in rows)} targets missed")


def _measure(group: str, server: Server, folder: Path) -> Iterator[Row]:
    click.echo(f"{group} …", err=True)
    match group:
        case "start":
            return caller.measure_start(server, folder)
        case "warm" | "bulk":
            return peers.measure(server, group)
        case "queue":
            return caller.measure_queue(server, folder)
    rows: Iterator[Row] = importlib.import_module("benchmarks.orders.backend").measure(server, folder)
    return rows


if __name__ == "__main__":
    main()
