"""HTTP/1.1 as urllib3 and http.client speak it, but strict about responses and about time."""

import functools
import http.client
import io
import re
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from cross_account_api.timing import Clock

_CUT_OFF = "the connection was closed too early"
_MAX_HEAD_BYTES = 64 * 1024
"""API Gateway sends at most 10 KiB: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""

_HEAD = re.compile(
    rb"HTTP/1\.(?P<minor>[0-9]) (?P<status>[1-9][0-9]{2})(?: (?P<reason>[^\0\r\n]*))?\r?\n"
    rb"(?P<headers>(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\0\r\n]*\r?\n(?:[ \t][^\0\r\n]*\r?\n)*)*)\r?\n"
)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LENGTH = re.compile("[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\0\r\n]*)?\r?\n")
_TRAILER = re.compile(rb"(?:[^\0\r\n:]+:[^\0\r\n]*)?\r?\n")


class UnknownLengthError(http.client.HTTPException):
    """A body that ends with the connection, so that nobody can tell whether it is whole."""


class Attempt(threading.local):
    """Limits of this thread's attempt: when it ends, and how long its connection may have been idle before.

    With a gap, only the head has to be here by then; the body may take any time without a gap of that many seconds.
    """

    deadline = 0.0
    idle = 0.0
    gap: float | None = None


class Connection(http.client.HTTPConnection):
    """Sends within the time for the attempt; urllib3 would let the connect timeout limit that too.

    A connection that was idle for too long counts as closed: what a NAT gateway, or a server while Lambda had frozen
    this environment, has dropped in silence is noticed only by the next request, which may not be repeatable.
    """

    attempt: Attempt
    clock: Clock
    _used: tuple[float, float] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the connection may be used again."""
        return self._idle_seconds() <= self.attempt.idle and bool(getattr(super(), "is_connected"))  # noqa: B009 - urllib3's

    def getresponse(self) -> Any:
        """Return the response, once its head is here."""
        gap = self.attempt.gap
        self.response_class = functools.partial(Response, gap=gap) if gap else Response  # type: ignore[assignment]
        response = super().getresponse()
        self._used = self.clock.monotonic(), self.clock.time()
        return response

    def _idle_seconds(self) -> float:
        """Return the seconds since the last response; while a machine is suspended, one of the clocks may stop."""
        if not self._used:
            return 0.0
        return max(self.clock.monotonic() - self._used[0], self.clock.time() - self._used[1])

    def send(self, data: Any) -> None:
        """Send all of it, connecting first if need be."""
        if self.sock is None:
            self.connect()
        timeout = self.sock.gettimeout()
        self.sock.settimeout(_seconds_until(self.attempt.deadline))
        super().send(data)
        self.sock.settimeout(timeout)


class Response(http.client.HTTPResponse):
    """Refuses what http.client lets pass: cut off heads, malformed lines and lengths, interim responses as final ones.

    See https://www.rfc-editor.org/rfc/rfc9112
    """

    def __init__(self, sock: Any, *args: Any, gap: float | None = None, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: Any = _Stream(self.fp.detach(), sock)
        self._gap = gap

    def begin(self) -> None:
        """Read the head of the final response."""
        head = self.fp.read_head()
        while head["status"][:1] == b"1":
            if head["status"] == b"101":
                raise http.client.HTTPException("another protocol")
            head = self.fp.read_head()
        if self._gap:
            self.fp.allow(self._gap)
        self.version = 10 if head["minor"] == b"0" else 11
        self.code = self.status = int(head["status"])
        self.reason = (head["reason"] or b"").decode("latin-1")
        self.headers = self.msg = http.client.HTTPMessage()
        values: dict[str, list[str]] = {"content-length": [], "transfer-encoding": [], "connection": []}
        for line in _FOLD.sub(b" ", head["headers"]).splitlines():
            name, _, value = line.decode("latin-1").partition(":")
            value = value.strip(" \t")
            self.headers.set_raw(name, value)
            if name.lower() in values:
                values[name.lower()].append(value)
        self._frame(values["content-length"], [coding.lower() for coding in values["transfer-encoding"]])
        if self.version == 10 or "close" in ",".join(values["connection"]).lower():
            self.will_close = True

    def _frame(self, lengths: list[str], codings: list[str]) -> None:
        """Find out where the body ends."""
        if len(set(lengths)) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            raise http.client.HTTPException("malformed or contradicting lengths")
        if codings not in ([], ["chunked"]) or (codings and lengths):
            raise http.client.HTTPException("a body whose length is not clear")
        method = self._method  # type: ignore[attr-defined]
        self.length = int(lengths[0]) if lengths else None
        self.chunked, self.chunk_left = bool(codings), None
        self.will_close = self.length is None and not codings
        if self.status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) or method == "HEAD":
            # No body; some send the end of a chunked one all the same.
            self.length, self.chunked, self.will_close = 0, False, bool(codings)
        elif self.chunked:
            self.fp.expected = _CHUNK_SIZE
        elif self.length is None and self.status < 300:
            raise UnknownLengthError


class _Stream(io.BufferedReader):
    """What http.client reads a response from: every line must be whole, and all of it come before the timeout."""

    expected: re.Pattern[bytes] | None = None

    def __init__(self, raw: socket.SocketIO, sock: Any) -> None:
        self._source = _Source(raw, sock)
        super().__init__(self._source)

    def read_head(self) -> re.Match[bytes]:
        """Read a status line and the headers."""
        head = line = b""
        while line not in (b"\r\n", b"\n"):
            line = super().readline(_MAX_HEAD_BYTES)
            if not (line or head):
                raise http.client.RemoteDisconnected("the connection was closed without a response")
            head += line
            if len(head) >= _MAX_HEAD_BYTES:
                raise http.client.HTTPException(f"headers of {_MAX_HEAD_BYTES} bytes or more")
            if not line.endswith(b"\n"):
                raise http.client.HTTPException(_CUT_OFF)
        return _require(_HEAD, head)

    def allow(self, gap: float) -> None:
        """From now on, limit the time between two bytes instead of the time for all of them."""
        self._source.gap = gap

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line of a chunked body, or of a proxy's response."""
        line = super().readline(size)
        if self.expected:
            match = _require(self.expected, line)
            if self.expected is _CHUNK_SIZE and int(match[1], 16) == 0:
                self.expected = _TRAILER
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        """Read the line end after a chunk; everything else is read by `read1` and `readline`."""
        data = super().read(size)
        if data != b"\r\n":
            raise http.client.HTTPException("a chunk of another length, or cut off")
        return data

    def close(self) -> None:
        """Close the stream, and the connection as well if it holds more than the response."""
        if not self.closed:
            self._source.is_ended = True
            if self.peek(1) or self._source.has_pending():
                self._source.abandon()
        super().close()


class _Source(io.RawIOBase):
    """A socket that is read until the timeout that it had at first, or that waits no longer than a gap for more."""

    gap: float | None = None

    def __init__(self, raw: socket.SocketIO, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = time.monotonic() + sock.gettimeout()
        self.is_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self.is_ended:
            return None
        self._sock.settimeout(self.gap or _seconds_until(self._deadline))
        return self._raw.readinto(buffer)

    def has_pending(self) -> bool:
        """Return whether TLS has decrypted more, which no look at the socket shows."""
        return bool(getattr(self._sock, "pending", int)())

    def abandon(self) -> None:
        with suppress(OSError):
            getattr(self._sock, "socket", self._sock).shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _require(pattern: re.Pattern[bytes], text: bytes) -> re.Match[bytes]:
    match = pattern.fullmatch(text)
    if not match:
        raise http.client.HTTPException("malformed response" if text.endswith(b"\n") else _CUT_OFF)
    return match


def _seconds_until(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds
