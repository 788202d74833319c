"""HTTP/1.1 as urllib3 and http.client speak it, but strict about responses and about time."""

import http.client
import io
import re
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import urllib3
from urllib3.util.response import assert_header_parsing

_LENGTH = re.compile("[0-9]{1,18}")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] [1-9][0-9]{2}(?: [^\0\r\n]*)?\r?\n")
_HEADER = re.compile(rb"([^\0\r\n]*)\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\0\r\n]*)?\r?\n")
_TRAILER = re.compile(rb"(?:[^\0\r\n:]+:[^\0\r\n]*)?\r?\n")


class Attempt(threading.local):
    """When the attempt of this thread has to be over."""

    deadline = 0.0


class Connection(http.client.HTTPConnection):
    """Sends within the time for the attempt; urllib3 would let the connect timeout limit that too."""

    attempt: Attempt

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

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: Any = _Stream(self.fp.detach(), sock)

    def begin(self) -> None:
        """Read the head of the final response."""
        super().begin()
        while 100 <= self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            self.headers: Any = None
            super().begin()
        if problem := self._problem():
            raise http.client.HTTPException(problem)
        if self.chunked and self.length == 0:  # no body, but some send the end of one
            self.chunked = False
            self.will_close = True
        self.fp.expected = _CHUNK_SIZE

    def _problem(self) -> str:
        try:
            assert_header_parsing(self.headers)
        except urllib3.exceptions.HeaderParsingError:
            return "malformed headers"
        lengths = [length.strip(" \t") for length in self.headers.get_all("content-length", [])]
        codings = [coding.strip(" \t").lower() for coding in self.headers.get_all("transfer-encoding", [])]
        if len(set(lengths)) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            return "malformed or contradicting lengths"
        if codings not in ([], ["chunked"]) or (codings and lengths):
            return "a body whose length is not clear"
        if self.status == http.client.SWITCHING_PROTOCOLS:
            return "another protocol"
        if 200 <= self.status < 300 and self.length is None and not self.chunked:
            return "a body of unknown length, which may be cut off"
        return ""


class _Stream(io.BufferedReader):
    """What http.client reads a response from: every line must be whole, and all of it come before the timeout."""

    def __init__(self, raw: socket.SocketIO, sock: Any) -> None:
        self._source = _Source(raw, sock)
        super().__init__(self._source)
        self.expected = _STATUS_LINE

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not line and self.expected is _STATUS_LINE:
            return line  # http.client raises RemoteDisconnected
        match = self.expected.fullmatch(line)
        if not match:
            is_whole = line.endswith(b"\n")
            raise http.client.HTTPException("malformed response" if is_whole else "the connection was closed too early")
        if self.expected is _STATUS_LINE:
            self.expected = _HEADER
        elif self.expected is _HEADER and not match[1]:
            self.expected = _STATUS_LINE  # after an interim response
        elif self.expected is _CHUNK_SIZE and int(match[1], 16) == 0:
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
    """A socket that is read until the timeout that it had at first."""

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
        self._sock.settimeout(_seconds_until(self._deadline))
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


def _seconds_until(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds
