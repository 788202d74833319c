"""Virtual time: it passes only while a call waits, for a pause or a peer, so that nothing depends on the machine."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

FOREVER, KILL = 3600.0, -1.0
"""Seconds that a read takes: more than any timeout allows, or none since the function is killed."""

PATIENCE = 600.0
"""Real seconds after which a peer, which responds or says that it stalls, counts as hanging."""


class KilledError(BaseException):
    """Lambda kills the function; no `except Exception` catches it."""


class VirtualClock:
    """The time of each thread on its own, as if all of them waited at the same time.

    Attributes:
        paces: How many seconds each read from a connection takes, by the ports of its server and its client.
        unreachable: What connecting to a port ends with.
    """

    def __init__(self) -> None:
        self._start = self._latest = time.time()
        self._lock = threading.Lock()
        self._thread = threading.local()
        self.paces: dict[tuple[int, int], float] = {}
        self.unreachable: dict[int, OSError] = {}

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


CLOCK = VirtualClock()


def stall(connection: socket.socket) -> None:
    """Send nothing more, and let time pass until the client gives up."""
    with pace(connection, FOREVER):
        hang_up(connection)


@contextmanager
def pace(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Tell the client how many seconds each read takes from now on."""
    peers = ports(connection)
    CLOCK.paces[peers] = seconds
    yield
    del CLOCK.paces[peers]  # the ports may be used again


def hang_up(connection: socket.socket) -> None:
    """End the sending side, so that the client, which knows better, need not wait for real; wait until it is gone."""
    connection.shutdown(socket.SHUT_WR)
    with suppress(OSError):
        while connection.recv(4096):
            pass


def ports(connection: socket.socket) -> tuple[int, int]:
    """Return the ports of the server and its client."""
    return connection.getsockname()[1], connection.getpeername()[1]


@contextmanager
def virtual_time() -> Iterator[None]:
    """Let the process's time be virtual, for the caller, urllib3 and botocore alike."""
    connect, handshake, receive = socket.socket.connect, ssl.SSLSocket.do_handshake, ssl.SSLSocket.recv_into

    def virtual_connect(self: socket.socket, address: Any) -> None:
        if failure := CLOCK.unreachable.get(address[1]):
            if isinstance(failure, TimeoutError):
                CLOCK.sleep(self.gettimeout() or FOREVER)
            raise failure
        connect(self, address)

    def virtual_handshake(self: ssl.SSLSocket, block: bool = False) -> None:
        if self.server_side:
            handshake(self, block)
        else:
            _wait(self, lambda: handshake(self, block))

    def virtual_receive(self: ssl.SSLSocket, *arguments: Any) -> int:
        return receive(self, *arguments) if self.server_side else _wait(self, lambda: receive(self, *arguments)) or 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", CLOCK.monotonic)
        patch.setattr(time, "sleep", CLOCK.sleep)
        patch.setattr(socket.socket, "connect", virtual_connect)
        patch.setattr(ssl.SSLSocket, "do_handshake", virtual_handshake)
        patch.setattr(ssl.SSLSocket, "recv_into", virtual_receive)
        yield


def _wait(connection: ssl.SSLSocket, act: Callable[[], Any]) -> Any:
    """Wait for the peer however slow the machine is; time passes only as the peer says."""
    limit = connection.gettimeout() or FOREVER
    peer = ports(connection)[::-1]
    connection.settimeout(PATIENCE)
    try:
        result, failure = act(), None
    except OSError as error:
        result, failure = None, error
    finally:
        if connection.fileno() >= 0:
            connection.settimeout(limit)
    seconds = CLOCK.paces.get(peer, 0)
    if seconds == KILL:
        raise KilledError
    CLOCK.sleep(min(seconds, limit))
    if not result and seconds >= limit:
        raise TimeoutError("timed out")
    if failure:
        raise failure
    return result
