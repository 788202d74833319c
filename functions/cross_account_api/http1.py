"""What urllib3 and http.client leave open: timeouts that start anew with each read, heads that are cut off."""

import http.client
import io
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import urllib3

from cross_account_api.timing import Clock


class UnknownLengthError(http.client.HTTPException):
    """A body that ends with the connection, so that nobody can tell whether it is whole."""


@dataclass(frozen=True)
class Attempt:
    """Limits of an attempt: when it ends, and how long its connection may have been idle before.

    With a gap, only the head has to be here by then; the body may take any time without a gap of that many seconds.
    """

    deadline: float
    idle: float
    gap: float | None
    clock: Clock


current: ContextVar[Attempt] = ContextVar("attempt")


class _Connection(http.client.HTTPConnection):
    """Sends within the time for the attempt; urllib3 would let the connect timeout limit that too.

    A connection that was idle for too long counts as closed: what a NAT gateway, or a server while Lambda had frozen
    this environment, has dropped in silence is noticed only by the next request, which may not be repeatable.
    """

    _used: tuple[float, float] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be used again: neither idle for long nor with bytes left, which TLS may hold."""
        is_clean = not getattr(self.sock, "pending", int)()
        return is_clean and self._idle_seconds() <= current.get().idle and bool(getattr(super(), "is_connected"))  # noqa: B009 - urllib3's

    def getresponse(self) -> Any:
        """Return the response, once its head is here."""
        response = super().getresponse()
        clock = current.get().clock
        self._used = clock.monotonic(), clock.time()
        return response

    def send(self, data: Any) -> None:
        """Send all of it, connecting first if need be."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_seconds_until(current.get().deadline))
        super().send(data)

    def _idle_seconds(self) -> float:
        """Return the seconds since the last response; while a machine is suspended, one of the clocks may stop."""
        if not self._used:
            return 0.0
        clock = current.get().clock
        return max(clock.monotonic() - self._used[0], clock.time() - self._used[1])


class _Response(http.client.HTTPResponse):
    """Ends in time, and is whole."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._source = _Source(self.fp.detach(), sock)
        self.fp: Any = _Reader(self._source)

    def begin(self) -> None:
        """Read the head of the final response; http.client would take any but 100 for that."""
        super().begin()
        while 101 < self.status < 200:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self.status < 200:
            raise http.client.HTTPException("another protocol")
        if self.length is None and not self.chunked and self.status < 300:
            raise UnknownLengthError
        self.chunked = self.chunked and self.length is None  # not of 204 and HEAD, whatever their headers say
        self._source.gap = current.get().gap


class _Reader(io.BufferedReader):
    """Refuses a line that is cut off; http.client takes that for the last header."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise http.client.RemoteDisconnected("the connection was closed too early, or a line is too long")
        return line


class _Source(io.RawIOBase):
    """A socket that is read until the timeout that it had at first, or that waits no longer than a gap for more."""

    gap: float | None = None

    def __init__(self, raw: socket.SocketIO, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = time.monotonic() + sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(self.gap or _seconds_until(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _seconds_until(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


class HTTPConnection(_Connection, urllib3.connection.HTTPConnection):
    """One without TLS."""

    response_class = _Response


class HTTPSConnection(_Connection, urllib3.connection.HTTPSConnection):
    """One with TLS."""

    response_class = _Response
