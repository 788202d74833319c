"""The terminal: one width, no colours guessed from the text, steps with their duration."""

import codecs
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

# For a terminal without these characters; what matters is that granted and refused differ.
_ASCII = {"✓": "+", "✗": "x", "→": ">", "·": "-", "…": "~"}


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(character, "?") for character in error.object[error.start : error.end]), error.end


codecs.register_error("cross_account_lab.console", _in_ascii)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error."""
    console = Console(stderr=stderr, width=100, highlight=False)
    if hasattr(console.file, "reconfigure"):
        console.file.reconfigure(errors="cross_account_lab.console")
    return console


@contextmanager
def progress(console: Console, description: str) -> Iterator[None]:
    """Show what is being done and, if it succeeds, how long it took."""
    started = time.monotonic()
    with console.status(description):
        yield
    console.print(f"[green]✓[/] {description:<90}{time.monotonic() - started:5.1f} s", highlight=False)
