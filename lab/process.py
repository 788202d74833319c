"""Run a command so that nothing of it outlives the block that started it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a process group of its own and kill the whole group at the end of the block.

    A group of its own keeps the terminal's Ctrl-C from the command: the block decides when it ends.

    Args:
        command: Program and arguments.
        cwd: Working directory.
        env: The complete environment.
        log: File that takes everything the command prints.

    Yields:
        The process. Its standard input is a pipe that closes when this process dies, however it dies.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with process:
        try:
            yield process
        finally:
            # Not reaped yet, so the id is still this group's.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tail(log: Path, lines: int = 20) -> str:
    """Return the end of a log.

    Args:
        log: The log file.
        lines: How many of its last lines to return.

    Returns:
        The lines, joined.
    """
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
