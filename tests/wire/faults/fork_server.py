"""Execution environments of the caller: one process that has made the slow imports, and forks.

`python -m tests.wire.faults.fork_server SOCKET` listens on a Unix socket. Each connection is an environment, a process.
The first line describes it. Each further line is an event; the reply describes the outcome of the invocation. Sockets,
TLS and signatures are real; time is virtual, so that nothing depends on how fast the machine is.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import select
import signal
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session  # noqa: F401 - imported before the fork, like Powertools

from tests.support.lambda_context import LambdaContext

_LOOK_MILLISECONDS = 20
_HANG_LOOKS = 30_000
_NO_LIMIT = 3600
_CONNECT_SECONDS = 0.3
"""The kernel accepts a connection on loopback at once, or never."""


class VirtualTime:
    """Time that passes only while a call waits, for a pause or a peer: how fast the machine is does not count.

    It passes for each thread on its own, as if all of them waited at the same time.
    """

    def __init__(self) -> None:
        self._start = self._latest = time.time()
        self._lock = threading.Lock()
        self._thread = threading.local()

    @property
    def seconds(self) -> float:
        """How long the invocation has taken, by the thread that waited longest."""
        return self._latest - self._start

    def start_invocation(self, later: float) -> None:
        """Begin an invocation some seconds after the last one."""
        self._start = self._latest = self._latest + later

    def start_call(self) -> None:
        """Begin a call together with all others of its invocation, whatever its thread did before."""
        self._thread.now = self._start

    def monotonic(self) -> float:
        return max(self._start, getattr(self._thread, "now", self._start))

    time = monotonic

    def sleep(self, seconds: float, /) -> None:
        self._thread.now = self.monotonic() + seconds
        with self._lock:
            self._latest = max(self._latest, self._thread.now)


class Socket(socket.socket):
    """Finds out quickly that nobody accepts its connection, which takes all the time that there is."""

    def connect(self, address: Any, /) -> None:
        limit = self.gettimeout()
        self.settimeout(_CONNECT_SECONDS)
        try:
            super().connect(address)
        except TimeoutError:
            time.sleep(limit or 0)
            raise
        finally:
            self.settimeout(limit)


class TlsSocket(ssl.SSLSocket):
    """Waits for its peer however slow the machine is; time passes only as the peer says, see `faults.say_pace`."""

    paces: Path

    def do_handshake(self, block: bool = False) -> None:
        self._wait(super().do_handshake, block)

    def recv_into(self, *arguments: Any) -> int:
        count: int = self._wait(super().recv_into, *arguments)
        time.sleep(min(self._pace(), self.gettimeout() or _NO_LIMIT))
        return count

    def _pace(self) -> int:
        """Return how many seconds each read takes; a server that says more than the timeout has stalled."""
        try:
            return int.from_bytes((self.paces / f"{self.getpeername()[1]}-{self.getsockname()[1]}").read_bytes())
        except OSError:  # it said nothing, or the connection has gone
            return 0

    def _wait(self, act: Callable[..., Any], *arguments: Any) -> Any:
        limit = self.gettimeout() or _NO_LIMIT
        readable = select.poll()
        readable.register(self, select.POLLIN)
        self.settimeout(0)
        try:
            for _ in range(_HANG_LOOKS):
                has_stalled = self._pace() >= limit  # asked first: what was sent before it is still read
                try:
                    return act(*arguments)
                except ssl.SSLWantReadError:
                    if has_stalled:
                        time.sleep(limit)
                        raise TimeoutError("timed out") from None
                    readable.poll(_LOOK_MILLISECONDS)
            raise RuntimeError("the server neither responds nor says that it stalls")
        finally:
            self.settimeout(limit)


@dataclass(frozen=True)
class Context(LambdaContext):
    """A context in virtual time."""

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self.started + self.seconds - time.monotonic()))


def serve(connection: io.BufferedRWPair) -> None:
    """Be an execution environment until the connection ends."""
    line = connection.readline()
    if not line:
        return
    given = json.loads(line)
    os.environ.clear()
    os.environ.update(given["variables"])
    sys.stdout = io.StringIO()
    clock = VirtualTime()
    # The process's own, for the caller, urllib3 and botocore alike.
    time.monotonic, time.sleep = clock.monotonic, clock.sleep  # type: ignore[assignment]
    socket.socket, ssl.SSLContext.sslsocket_class = Socket, TlsSocket  # type: ignore[misc]
    TlsSocket.paces = Path(given["paces"])
    handler: Any = importlib.import_module("cross_account_caller.handler")
    client = handler.create_client(clock=clock)

    def client_for_a_call() -> Any:
        clock.start_call()
        return client

    handler.client = client_for_a_call
    _write(connection, {"pid": os.getpid()})
    for line in connection:
        sys.stdout.seek(0)
        sys.stdout.truncate()
        message = json.loads(line)
        clock.start_invocation(message["later"])
        context = Context(
            given["timeout"], "CallerFunction", aws_request_id=str(uuid.uuid4()), started=clock.monotonic()
        )
        outcome: dict[str, Any]
        try:
            outcome = {"result": handler.handler(message["event"], context)}
        except Exception as error:
            outcome = {"error": type(error).__name__, "message": str(error)}
        outcome["seconds"] = clock.seconds
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
