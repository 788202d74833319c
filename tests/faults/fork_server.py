"""Execution environments of the caller: one process that has made the slow imports, and forks.

`python -m tests.faults.fork_server SOCKET` listens on a Unix socket. Each connection is an environment, one process.
The first line describes it. Each further line is an event; the reply describes the outcome of the invocation.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import socket
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any

import botocore.session  # noqa: F401 - imported before the fork, like Powertools

from cross_account_api import Timing
from cross_account_api.client import MAX_CONCURRENCY
from cross_account_api.transport import Connections, HttpResponse, Request, Timeout
from tests.support.lambda_context import LambdaContext

_TLS_ALLOWANCE = 3
"""Connecting, and STS, get three times their share: a TLS handshake on a busy machine takes its time."""


class FastClock:
    """A clock that runs several times as fast as the real one, from the start of each invocation.

    Attributes:
        slept: The seconds slept since then, by this clock.
    """

    def __init__(self, speedup: float) -> None:
        self._speedup = speedup
        self._offset = time.time() - time.monotonic()
        self.restart()

    def restart(self) -> None:
        self._start = time.monotonic()
        self.slept = 0.0

    def monotonic(self) -> float:
        return self._start + (time.monotonic() - self._start) * self._speedup

    def time(self) -> float:
        return self._offset + time.monotonic() * self._speedup

    def sleep(self, seconds: float, /) -> None:
        self.slept += seconds
        time.sleep(seconds / self._speedup)


class FastTransport:
    """Connections with timeouts that are shorter by the speedup."""

    def __init__(self, connections: Connections, speedup: float) -> None:
        self._connections = connections
        self._speedup = speedup

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        connect = timeout.connect * min(_TLS_ALLOWANCE / self._speedup, 1)
        return self._connections.send(
            request, Timeout(connect, timeout.read / self._speedup, timeout.total / self._speedup)
        )


@dataclass(frozen=True)
class FastContext(LambdaContext):
    """A context whose time passes faster."""

    speedup: float = 1.0

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self.seconds - (time.monotonic() - self.started) * self.speedup))


def serve(connection: io.BufferedRWPair) -> None:
    """Be an execution environment until the connection ends."""
    line = connection.readline()
    if not line:
        return
    given = json.loads(line)
    speedup = given["speedup"]
    os.environ.clear()
    os.environ.update(given["variables"])
    sys.stdout = io.StringIO()
    handler: Any = importlib.import_module("cross_account_caller.handler")
    clock = FastClock(speedup)
    allowance = min(_TLS_ALLOWANCE / speedup, 1)
    client = handler.create_client(
        clock=clock,
        transport=FastTransport(Connections(os.environ["API_URL"], MAX_CONCURRENCY), speedup),
        # The rest is by the fast clock.
        timing=Timing(sts_connect=Timing.sts_connect * allowance, sts_read=Timing.sts_read * allowance),
    )
    handler.client = lambda: client
    _write(connection, {"pid": os.getpid()})
    for line in connection:
        sys.stdout.seek(0)
        sys.stdout.truncate()
        context = FastContext(given["timeout"], "CallerFunction", aws_request_id=str(uuid.uuid4()), speedup=speedup)
        clock.restart()
        outcome: dict[str, Any]
        try:
            outcome = {"result": handler.handler(json.loads(line), context)}
        except Exception as error:
            outcome = {"error": type(error).__name__, "message": str(error)}
        outcome["slept"] = clock.slept
        outcome["seconds"] = time.monotonic() - context.started
        _write(connection, {"outcome": outcome, "printed": sys.stdout.getvalue()})


def _write(connection: io.BufferedRWPair, message: dict[str, Any]) -> None:
    connection.write(json.dumps(message).encode() + b"\n")
    connection.flush()


def main(path: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                with connection, connection.makefile("rwb") as stream:
                    serve(stream)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
