"""An execution environment: the caller's handler in a process of its own, as Lambda runs it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedRWPair
from pathlib import Path
from typing import Any

from cross_account_access.templates import PROJECT

TIMED_OUT = "Sandbox.Timedout"
_HANG_SECONDS = 600.0
"""Real seconds after which an environment hangs, or cannot be started."""


@dataclass(frozen=True)
class Invocation:
    """The outcome of one invocation.

    Attributes:
        result: What the handler returned.
        error: Type of the exception that it raised, or `Sandbox.Timedout`; empty if none.
        message: The exception's message.
        seconds: How long it waited, for pauses and for others.
        logs: What it logged.
        metrics: Sums of the metrics that it emitted.
    """

    result: Any = None
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    logs: list[dict[str, Any]] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)


@contextmanager
def fork_server(folder: Path) -> Iterator[Path]:
    """Run the process that forks execution environments; yields its socket, which is in the folder."""
    path = folder / "fork_server"
    # Only what measures the coverage of subprocesses is passed on from this process's environment.
    inherited = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHONDONT"))}
    environment = inherited | {"PATH": os.defpath, "PYTHONPATH": str(PROJECT / "functions")}
    command = [sys.executable, "-m", "tests.wire.faults.fork_server", str(path)]
    with subprocess.Popen(command, cwd=PROJECT, env=environment) as process:
        try:
            deadline = time.monotonic() + _HANG_SECONDS
            while not _listening(path):
                assert process.poll() is None, "it ended while it started"
                assert time.monotonic() < deadline, "it does not start"
                time.sleep(0.05)
            yield path
        finally:
            process.kill()


class Environment:
    """A process that serves one invocation after another; a new process follows one that was killed.

    Args:
        fork_server: Socket of the process to fork from.
        variables: Environment variables of the function.
        timeout: The function's timeout, in seconds.
    """

    def __init__(self, fork_server: Path, variables: Mapping[str, str], timeout: float) -> None:
        self._fork_server = fork_server
        self._given = {"variables": dict(variables), "timeout": timeout, "paces": str(fork_server.parent)}
        self._timeout = timeout
        self._later = 0.0
        self._stream: BufferedRWPair | None = None
        self._pid = 0

    def wait(self, seconds: float) -> None:
        """Let time pass before the next invocation."""
        self._later += seconds

    def invoke(self, event: Any) -> Invocation:
        """Invoke the function; kill it when its timeout has passed."""
        stream = self._stream = self._stream or self._start()
        reply: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            _write(stream, {"event": event, "later": self._later})
            reply = json.loads(stream.readline())
        if not reply:
            self.kill()
            self.stop()
            return Invocation(error=TIMED_OUT)
        self._later = 0.0
        outcome = reply["outcome"]
        if outcome["seconds"] >= self._timeout:
            outcome |= {"result": None, "error": TIMED_OUT}
        printed = [json.loads(line) for line in reply["printed"].splitlines()]
        return Invocation(
            **outcome,
            logs=[line for line in printed if "_aws" not in line],
            metrics=_sum(line for line in printed if "_aws" in line),
        )

    def kill(self) -> None:
        """Kill the process at once."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def stop(self) -> None:
        """Let the process end."""
        if self._stream:
            self._stream.close()
            self._stream = None

    def _start(self) -> BufferedRWPair:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._fork_server))
            connection.settimeout(_HANG_SECONDS)
            stream = connection.makefile("rwb")
            _write(stream, self._given)
            self._pid = json.loads(stream.readline())["pid"]
        return stream


def _listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.connect(str(path))
        return True
    return False


def _write(stream: BufferedRWPair, message: Any) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _sum(lines: Iterator[dict[str, Any]]) -> Counter[str]:
    metrics: Counter[str] = Counter()
    for line in lines:
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                value = line[metric["Name"]]
                metrics[metric["Name"]] += sum(value) if isinstance(value, list) else value
    return metrics
