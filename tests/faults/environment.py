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

from access.templates import PROJECT

TIMED_OUT = "Sandbox.Timedout"
_READY_SECONDS = 60.0
_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Invocation:
    """What became of one invocation.

    Attributes:
        result: What the handler returned.
        error: Type of the exception that it raised, or `Sandbox.Timedout`; empty if none.
        message: The exception's message.
        seconds: How long it took.
        slept: How much of that it waited between requests.
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
def zygote(folder: Path) -> Iterator[Path]:
    """Run the process from which execution environments are forked.

    Args:
        folder: Where its socket goes.

    Yields:
        The socket.
    """
    path = folder / "zygote"
    # What the coverage of subprocesses is measured by passes; nothing else of this process's environment does.
    inherited = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHONDONT"))}
    environment = inherited | {"PATH": os.defpath, "PYTHONPATH": str(PROJECT / "functions")}
    command = [sys.executable, "-m", "tests.faults.fork_server", str(path)]
    with subprocess.Popen(command, cwd=PROJECT, env=environment) as process:
        try:
            deadline = time.monotonic() + _READY_SECONDS
            while not _answers(path):
                assert process.poll() is None, "it ended while it started"
                assert time.monotonic() < deadline, "it does not start"
                time.sleep(0.05)
            yield path
        finally:
            process.kill()


class Environment:
    """A process that serves one invocation after the other, and a new one after one was killed.

    Args:
        zygote: Socket of the process to fork from.
        variables: Environment variables of the function.
        timeout: Seconds after which an invocation is killed.
        pace: By what all durations that the function knows are divided.
    """

    def __init__(self, zygote: Path, variables: Mapping[str, str], timeout: float, pace: float) -> None:
        self._zygote = zygote
        self._given = {"variables": dict(variables), "timeout": timeout, "pace": pace}
        self._timeout = timeout
        self._stream: BufferedRWPair | None = None
        self._pid = 0

    @property
    def resident_bytes(self) -> int:
        """How much memory the process holds."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def invoke(self, event: Any) -> Invocation:
        """Invoke the function and wait for its end, or end it when its time is over."""
        stream = self._stream = self._stream or self._start()
        answer: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            _write(stream, event)
            answer = json.loads(stream.readline())
        if not answer:
            self.kill()
            self.stop()
            return Invocation(error=TIMED_OUT)
        outcome = answer["outcome"]
        if outcome["seconds"] >= self._timeout:
            outcome |= {"result": None, "error": TIMED_OUT}
        printed = [json.loads(line) for line in answer["printed"].splitlines()]
        return Invocation(
            **outcome,
            logs=[line for line in printed if "_aws" not in line],
            metrics=_sum(line for line in printed if "_aws" in line),
        )

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def stop(self) -> None:
        """Let the process end by itself."""
        if self._stream:
            self._stream.close()
            self._stream = None

    def _start(self) -> BufferedRWPair:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._zygote))
            connection.settimeout(_READY_SECONDS)
            stream = connection.makefile("rwb")
            _write(stream, self._given)
            self._pid = json.loads(stream.readline())["pid"]
            connection.settimeout(self._timeout + _GRACE_SECONDS)
        return stream


def _answers(path: Path) -> bool:
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
