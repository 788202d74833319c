"""The terminal: one width, no colours guessed from the text, steps with their duration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error."""
    console = Console(stderr=stderr, width=100, highlight=False)
    if hasattr(console.file, "reconfigure"):
        console.file.reconfigure(errors="replace")
    return console


@contextmanager
def progress(console: Console, description: str) -> Iterator[None]:
    """Show what is being done and, if it succeeds, how long it took."""
    started = time.monotonic()
    with console.status(description):
        yield
    console.print(f"[green]✓[/] {description:<90}{time.monotonic() - started:5.1f} s", highlight=False)
