"""Processes that end with the block that started them, and facts about this machine."""

import os
import platform
import signal
import socket
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen


@contextmanager
def running(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path) -> Iterator[Popen[bytes]]:
    """Run a command in its own process group and kill the whole group at the end of the block.

    Its own group, so that the terminal's Ctrl-C does not reach it. Its standard input is a pipe that closes when this
    process dies, however it dies; its output goes to `log`.
    """
    with (
        log.open("wb") as output,
        Popen(command, cwd=cwd, env=env, stdin=PIPE, stdout=output, stderr=STDOUT, start_new_session=True) as process,
    ):
        try:
            yield process
        finally:
            # Not reaped yet, so the id is still this group's.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def drop_aws_variables(environment: MutableMapping[str, str]) -> None:
    """Remove the user's AWS settings, so that the lab is neither affected by them nor uses them."""
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]


def without_proxy(host: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return both spellings of `no_proxy` with one more host: tools disagree on which one counts."""
    lists = {}
    for name, other in (("no_proxy", "NO_PROXY"), ("NO_PROXY", "no_proxy")):
        own = environment.get(name) or environment.get(other, "")
        lists[name] = own if own == "*" else f"{host},{own}".removesuffix(",")
    return lists


def free_port(host: str) -> int:
    """Return a port of an IP address of this machine on which nothing listens."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def host_architecture() -> str:
    """Return this machine's architecture as Lambda names it: `arm64` or `x86_64`."""
    return "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
