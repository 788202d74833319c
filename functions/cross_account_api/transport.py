"""Connections to the API. No other module knows that urllib3 makes them.

Against urllib3's defaults: all connections share one TLS context, the read timeout limits the whole response instead of
each read, a response that is malformed or cut off anywhere is an error, a connection with bytes left on it is not used
again, no redirect is followed, nothing is retried.
"""

import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import certifi
import urllib3
from requests.utils import get_environ_proxies, select_proxy
from urllib3.util.response import assert_header_parsing

from cross_account_api.errors import (
    CertificateError,
    ConnectionFailedError,
    ResponseTooLargeError,
    SettingsError,
)

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
"""API Gateway's own limit: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""

_MAX_ERROR_BYTES = 64 * 1024
"""How much is read of a response other than 2xx, for its code and message."""

_CHUNK_BYTES = 64 * 1024
_MAX_ADDRESSES = 8
"""Upper bound on addresses per host name; the connect timeout applies to each in turn."""
_GZIP = ("gzip", "x-gzip")
"""Not asked for, but some send it all the same."""

_MAX_RETRY_AFTER = 6 * 3600
"""As in urllib3 from 2.8; before, it gave integers that no float can hold."""

_FOLD = re.compile(r"[ \t]*\r?\n[ \t]+")
_LENGTH = re.compile("[0-9]{1,18}")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] [1-9][0-9]{2}(?: [^\0\r\n]*)?\r?\n")
_HEADER = re.compile(rb"([^\0\r\n]*)\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\0\r\n]*)?\r?\n")
_TRAILER = re.compile(rb"(?:[^\0\r\n:]+:[^\0\r\n]*)?\r?\n")

_NO_RETRIES = urllib3.Retry(total=False, redirect=False)
_NOTHING_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)


@dataclass
class Request:
    """A request as it is signed and sent; AWS4Auth signs any object with these attributes."""

    method: str
    url: str
    body: bytes | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class HttpResponse:
    """A complete response.

    Attributes:
        status: HTTP status code.
        headers: Headers; names in lower case, repeated ones joined by commas.
        body: The body as received.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Timeout:
    """Limits of one attempt, in seconds: for each connection attempt, for the response, and for all of it."""

    connect: float
    read: float
    total: float


class Transport(Protocol):
    """Sends requests."""

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        """Send a request once, unchanged.

        Raises:
            ConnectionFailedError: There was no complete response in time.
            ResponseTooLargeError: The body is larger than `MAX_RESPONSE_BYTES`.
        """


class Connections:
    """A pool of connections to one API. Threads may share it.

    Args:
        api_url: The API's URL, which decides whether a proxy is used.
        size: How many connections are kept open.
        ca_bundle: A file of CA certificates; by default `AWS_CA_BUNDLE`, else the public ones.

    Raises:
        SettingsError: The file holds no CA certificates, or `HTTPS_PROXY` is malformed.
    """

    def __init__(self, api_url: str, size: int, ca_bundle: str = "") -> None:
        ca_bundle = ca_bundle or os.environ.get("AWS_CA_BUNDLE") or certifi.where()
        try:
            context = ssl.create_default_context(cafile=ca_bundle)
        except OSError as error:
            raise SettingsError("AWS_CA_BUNDLE", repr(ca_bundle), "a file of CA certificates in PEM form") from error
        self._manager = _pool_manager(find_proxy(api_url), maxsize=size, ssl_context=context)
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(api_url))
        self._attempt = _Attempt()
        pool: Any = self._manager.connection_from_url(api_url)
        pool.ConnectionCls = type(
            "Connection", (_Connection, pool.ConnectionCls), {"attempt": self._attempt, "response_class": _Response}
        )
        self._pool = pool

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        """Send a request: see `Transport`."""
        self._attempt.deadline = time.monotonic() + min(timeout.total, timeout.connect + timeout.read)
        try:
            response = self._pool.urlopen(
                request.method,
                request.url.removeprefix(self._origin),
                body=request.body,
                headers=request.headers,
                retries=_NO_RETRIES,
                redirect=False,
                timeout=urllib3.Timeout(
                    connect=min(timeout.connect, timeout.total / _MAX_ADDRESSES), read=timeout.read, total=timeout.total
                ),
                preload_content=False,
                decode_content=False,
            )
            with response:
                body = _read(response)
        except urllib3.exceptions.HTTPError as error:
            raise _connection_error(error, timeout) from error
        headers = {name.lower(): _FOLD.sub(" ", value) for name, value in response.headers.itermerged()}
        if body and headers.get("content-encoding", "").lower() in _GZIP:
            body = _decompress(body)
            del headers["content-encoding"]
        if len(body) > MAX_RESPONSE_BYTES:
            raise ResponseTooLargeError(len(body), MAX_RESPONSE_BYTES)
        return HttpResponse(response.status, headers, body)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._manager.clear()


def find_proxy(api_url: str) -> str | None:
    """Return the URL of the proxy that `HTTPS_PROXY` and `NO_PROXY` set for an API, if any.

    Plain HTTP is allowed for local hosts only, which are never proxied.
    """
    if not api_url.startswith("https:"):
        return None
    proxy = select_proxy(api_url, get_environ_proxies(api_url, no_proxy=None))
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def parse_retry_after(value: str) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait; None if it is malformed (RFC 9110, 10.2.3)."""
    try:
        return float(min(urllib3.Retry().parse_retry_after(value), _MAX_RETRY_AFTER))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def _pool_manager(proxy: str | None, **options: Any) -> urllib3.PoolManager:
    if not proxy:
        return urllib3.PoolManager(**options)
    try:
        url = urllib3.util.parse_url(proxy)
        headers = urllib3.make_headers(proxy_basic_auth=url.auth_decoded_joined) if url.auth else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=options["ssl_context"], **options)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise SettingsError("HTTPS_PROXY", "not a proxy's URL", "http://host:port or https://host:port") from error


class _Attempt(threading.local):
    """When the attempt of this thread has to be over."""

    deadline = 0.0


class _Connection(http.client.HTTPConnection):
    """Sends within the time for the attempt; urllib3 would let the connect timeout limit that too."""

    attempt: _Attempt

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        timeout = self.sock.gettimeout()
        self.sock.settimeout(_seconds_until(self.attempt.deadline))
        super().send(data)
        self.sock.settimeout(timeout)


class _Response(http.client.HTTPResponse):
    """Refuses what http.client lets pass: cut off heads, malformed lines and lengths, interim responses as final ones.

    See https://www.rfc-editor.org/rfc/rfc9112
    """

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp: Any = _Stream(self.fp.detach(), sock)

    def begin(self) -> None:
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
        lengths = [length.strip() for length in self.headers.get_all("content-length", [])]
        codings = [coding.strip().lower() for coding in self.headers.get_all("transfer-encoding", [])]
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


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """Read a body; of anything but 2xx only as much as an explanation takes, and nothing of a redirect."""
    left = {2: MAX_RESPONSE_BYTES + 1, 3: 0}.get(response.status // 100, _MAX_ERROR_BYTES)
    chunks = []
    while left and (chunk := response.read1(min(left, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _decompress(body: bytes) -> bytes:
    """Return what a body contains, or the first bytes of it that are too many."""
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = decoder.decompress(body, MAX_RESPONSE_BYTES + 1)
    except zlib.error:
        content = b""
    if len(content) <= MAX_RESPONSE_BYTES and (not decoder.eof or decoder.unused_data):
        raise ConnectionFailedError("the response's body is not whole gzip", may_have_arrived=True)
    return content


def _connection_error(error: urllib3.exceptions.HTTPError, timeout: Timeout) -> ConnectionFailedError:
    """Name the first cause; the messages in between contain the URL with its query."""
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return ConnectionFailedError(
            f"it took longer than {min(timeout.read, timeout.total):.3g} s",
            may_have_arrived=True,
            remedy="Account B: if the API needs longer, allow it: ApiTimeout of the stack, --timeout of call-api, or "
            "timing of the client. Account A: check that the API exists, and what takes it so long.",
        )
    first: BaseException = error
    while first.__context__:
        first = first.__context__
    name = type(error).__name__
    if isinstance(first, ssl.SSLCertVerificationError):
        return CertificateError(f"{name}: {first.verify_message}")
    own_words = not isinstance(first, urllib3.exceptions.HTTPError)
    return ConnectionFailedError(
        f"{name}: {first}" if own_words else name, may_have_arrived=not isinstance(error, _NOTHING_SENT)
    )
