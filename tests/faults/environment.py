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

SPEEDUP = 10
"""By how much this suite shortens every duration that the caller and the templates set."""
TIMED_OUT = "Sandbox.Timedout"
_READY_SECONDS = 60.0
_GRACE_SECONDS = 2.0
_TOLERANCE = 0.5
"""Seconds that a busy machine may add to an invocation: the function's own margin is a tenth of a second here."""


def scaled(seconds: float) -> float:
    """Return how long `seconds` in an AWS account take here."""
    return seconds / SPEEDUP


@dataclass(frozen=True)
class Invocation:
    """The outcome of one invocation.

    Attributes:
        result: What the handler returned.
        error: Type of the exception that it raised, or `Sandbox.Timedout`; empty if none.
        message: The exception's message.
        seconds: How long it took.
        slept: How long the client paused between requests, in seconds of an AWS account.
        logs: What it logged.
        metrics: Sums of the metrics that it emitted.
    """

    result: Any = None
    error: str = ""
    message: str = ""
    seconds: float = 0.0
    slept: float = 0.0
    logs: list[dict[str, Any]] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)


@contextmanager
def fork_server(folder: Path) -> Iterator[Path]:
    """Run the process that forks execution environments; yields its socket, which is in the folder."""
    path = folder / "fork_server"
    # Only what measures the coverage of subprocesses is passed on from this process's environment.
    inherited = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHONDONT"))}
    environment = inherited | {"PATH": os.defpath, "PYTHONPATH": str(PROJECT / "functions")}
    command = [sys.executable, "-m", "tests.faults.fork_server", str(path)]
    with subprocess.Popen(command, cwd=PROJECT, env=environment) as process:
        try:
            deadline = time.monotonic() + _READY_SECONDS
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
        timeout: The function's timeout in an AWS account, in seconds.
        speedup: By how much all durations are shortened.
    """

    def __init__(self, fork_server: Path, variables: Mapping[str, str], timeout: float, speedup: float) -> None:
        self._fork_server = fork_server
        self._given = {"variables": dict(variables), "timeout": timeout, "speedup": speedup}
        self._timeout = timeout / speedup + _TOLERANCE
        self._stream: BufferedRWPair | None = None
        self._pid = 0

    @property
    def resident_bytes(self) -> int:
        """The memory that the process uses."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def invoke(self, event: Any) -> Invocation:
        """Invoke the function; kill it when its timeout has passed."""
        stream = self._stream = self._stream or self._start()
        reply: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            _write(stream, event)
            reply = json.loads(stream.readline())
        if not reply:
            self.kill()
            self.stop()
            return Invocation(error=TIMED_OUT)
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
            connection.settimeout(_READY_SECONDS)
            stream = connection.makefile("rwb")
            _write(stream, self._given)
            self._pid = json.loads(stream.readline())["pid"]
            connection.settimeout(self._timeout + _GRACE_SECONDS)
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
