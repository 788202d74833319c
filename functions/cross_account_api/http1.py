"""What urllib3 and http.client leave open: timeouts that start anew with each read, heads that are cut off."""

import http.client
import io
import math
import re
import socket
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import urllib3

from cross_account_api.timing import Clock

_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_MAX_LINE = 64 * 1024
_MAX_FIELDS = 100


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

    _used = math.inf, math.inf

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
        clock = current.get().clock
        return max(clock.monotonic() - self._used[0], clock.time() - self._used[1])


class _Response(http.client.HTTPResponse):
    """Ends in time, and is whole."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._source = _Source(self.fp.detach(), sock)
        self.fp: Any = _Reader(self._source)

    def begin(self) -> None:
        """Read the head of the final response."""
        self.code = self.status = 0
        while self.status < 200:
            line = _STATUS_LINE.fullmatch(self.fp.readline(_MAX_LINE))
            if not line or line[2] == b"101":
                raise http.client.BadStatusLine("not HTTP/1.1")
            self.version = 10 if line[1] == b"0" else 11
            self.code = self.status = int(line[2])
            self.reason = (line[3] or b"").decode("latin-1")
            fields = self._read_fields()
        self.headers = self.msg = http.client.HTTPMessage()
        values: dict[str, list[str]] = {"content-length": [], "transfer-encoding": [], "connection": []}
        for name, value in fields:
            self.headers.set_raw(name, value)
            if name.lower() in values:
                values[name.lower()].append(value.lower())
        self._frame(values["content-length"], values["transfer-encoding"])
        # Of 204 and HEAD, some send the end of a chunked body all the same.
        is_open = not self.chunked and (self.length is None or bool(values["transfer-encoding"]))
        self.will_close = is_open or self.version == 10 or "close" in ",".join(values["connection"])
        self._source.gap = current.get().gap

    def _read_fields(self) -> list[tuple[str, str]]:
        """Read the headers; the email.parser that http.client uses would take a twentieth of a warm call."""
        fields: list[tuple[str, str]] = []
        while (line := self.fp.readline(_MAX_LINE).decode("latin-1")).strip("\r\n"):
            name, colon, value = line.partition(":")
            if line[0] in " \t" and fields:
                name, value = fields[-1][0], f"{fields.pop()[1]} {line}"
            elif not colon or len(fields) == _MAX_FIELDS:
                raise http.client.HTTPException("a malformed header, or too many")
            fields.append((name, value.strip(" \t\r\n")))
        return fields

    def _frame(self, lengths: list[str], codings: list[str]) -> None:
        """Find out where the body ends."""
        self.length, self.chunked, self.chunk_left = None, codings == ["chunked"], None
        if self.status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length, self.chunked = 0, False
        elif len(set(lengths)) == 1 and lengths[0].isdecimal() and not codings:
            self.length = int(lengths[0])
        elif not self.chunked and self.status < 300:
            raise UnknownLengthError


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
