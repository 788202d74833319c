"""Connections to the API. No other module knows that urllib3 makes them.

Against urllib3's defaults: all connections share one TLS context, the read timeout limits the whole response instead of
each read (unless it is streamed), a response that is cut off anywhere is an error, a connection that was idle for long
or is the parent process's is not used again, no redirect is followed, nothing is retried.
"""

import os
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import certifi
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from cross_account_api import http1
from cross_account_api.advice import Advice
from cross_account_api.errors import (
    CallError,
    CertificateError,
    ConnectionFailedError,
    ResponseError,
    ResponseTooLargeError,
    SettingsError,
)
from cross_account_api.timing import Clock, Timing

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
"""What API Gateway passes on, unless a REST API streams its responses:
https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode.html"""

_MAX_ERROR_BYTES = 64 * 1024
"""How much is read of a response other than 2xx, for its code and message."""

_CHUNK_BYTES = 64 * 1024
_MAX_ADDRESSES = 8
"""Upper bound on addresses per host name; the connect timeout applies to each in turn."""
_GZIP = ("gzip", "x-gzip")
"""Not asked for, but some send it all the same."""

_MAX_RETRY_AFTER = 6 * 3600
"""As in urllib3 from 2.8; before, it gave integers that no float can hold."""

_NO_RETRIES = urllib3.Retry(total=False, redirect=False)
_NOTHING_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)


@dataclass
class Request:
    """A request as it is signed and sent; AWS4Auth signs any object with these attributes.

    Attributes:
        is_repeatable: Whether it may be sent again after a failure that it may have survived.
    """

    method: str
    url: str
    body: bytes | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    is_repeatable: bool = True


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


@dataclass
class HttpStream:
    """A response whose body is still to come.

    Attributes:
        status: HTTP status code.
        headers: Headers as in `HttpResponse`.
        chunks: The body as it comes; raises `ConnectionFailedError` if it ends before its end.
        close: Gives the connection back after the end of the body, and closes it before.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    chunks: Iterator[bytes] = field(repr=False)
    close: Callable[[], None] = field(repr=False)

    def read(self) -> bytes:
        """Read the body; of anything but 2xx only as much as an explanation takes, and nothing of a redirect.

        Raises:
            ConnectionFailedError: There was no complete response in time.
            ResponseTooLargeError: It is larger than `MAX_RESPONSE_BYTES`.
        """
        limit = {2: MAX_RESPONSE_BYTES, 3: 0}.get(self.status // 100, _MAX_ERROR_BYTES)
        chunks, size = [], 0
        while limit and size <= limit and (chunk := next(self.chunks, b"")):
            chunks.append(chunk)
            size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            raise ResponseTooLargeError(size, MAX_RESPONSE_BYTES)
        return b"".join(chunks)


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
            ResponseError: The body has no length, or is larger than `MAX_RESPONSE_BYTES`.
        """


class StreamingTransport(Transport, Protocol):
    """Can pass on responses as they come, too."""

    def open(self, request: Request, timeout: Timeout, idle_timeout: float) -> HttpStream:
        """Do the same, but return as soon as the headers are here; the body may take any time without a long gap."""


class Connections:
    """A pool of connections to one API. Threads may share it; a forked process starts with an empty one.

    Args:
        api_url: The API's URL, which decides whether a proxy is used.
        size: How many connections are kept open.
        ca_bundle: A file of CA certificates; by default `AWS_CA_BUNDLE`, else `REQUESTS_CA_BUNDLE`, else public ones.
        timing: How long connections may be idle.
        clock: The `time` module, or a substitute.

    Raises:
        SettingsError: The file holds no CA certificates, or `HTTPS_PROXY` is malformed.
    """

    def __init__(
        self, api_url: str, size: int, ca_bundle: str = "", *, timing: Timing | None = None, clock: Clock = time
    ) -> None:
        self._timing = timing or Timing()
        self._url, self._proxy = api_url, find_proxy(api_url)
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(api_url))
        self._clock = clock
        self._options = {"maxsize": size, "ssl_context": _tls_context(ca_bundle)}
        self._open()

    def _open(self) -> None:
        self._manager = _pool_manager(self._proxy, **self._options)
        pool: Any = self._manager.connection_from_url(self._url)
        pool.ConnectionCls = http1.HTTPSConnection if pool.scheme == "https" else http1.HTTPConnection
        self._pool, self._pid = pool, os.getpid()

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        """Send a request: see `Transport`."""
        stream = self.open(request, timeout)
        try:
            return HttpResponse(stream.status, stream.headers, stream.read())
        finally:
            stream.close()

    def open(self, request: Request, timeout: Timeout, idle_timeout: float | None = None) -> HttpStream:
        """Send a request, and return the response before its body: see `Transport`."""
        if self._pid != os.getpid():
            self._inherited = self._manager  # kept, since closing its connections would end the parent's
            self._open()
        deadline = time.monotonic() + min(timeout.total, timeout.connect + timeout.read)
        idle = self._timing.idle if request.is_repeatable else self._timing.idle_unrepeatable
        http1.current.set(http1.Attempt(deadline, idle, idle_timeout, self._clock))
        late = f"it took longer than {min(timeout.read, timeout.total):.3g} s"
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
        except Exception as error:
            raise _call_error(error, late) from _cause(error)
        headers = {name.lower(): value for name, value in response.headers.itermerged()}
        chunks = _chunks(response, f"nothing came for {idle_timeout:.3g} s" if idle_timeout else late)
        if headers.get("content-encoding", "").lower() in _GZIP and response.length_remaining != 0:
            chunks = _decompressed(chunks)
            del headers["content-encoding"]
        return HttpStream(response.status, headers, chunks, response.close)

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._manager.clear()


def _tls_context(ca_bundle: str) -> ssl.SSLContext:
    """Return what judges the API's certificate, by the rules by which botocore judges that of STS."""
    names = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
    given = {names[0]: ca_bundle} if ca_bundle else {name: os.environ.get(name, "") for name in names}
    name, file = next(((name, file) for name, file in given.items() if file), ("", certifi.where()))
    try:
        context = ssl.create_default_context(cafile=file)
    except OSError as error:
        raise SettingsError(name, repr(file), "a file of CA certificates in PEM form") from error
    if name:  # Python 3.13 refuses CAs without key identifiers, as TLS proxies have them
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


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


def _chunks(response: urllib3.BaseHTTPResponse, late: str) -> Iterator[bytes]:
    """Yield what comes as it comes."""
    try:
        while chunk := response.read1(_CHUNK_BYTES):
            yield chunk
    except Exception as error:
        raise _call_error(error, late) from _cause(error)


def _decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the decompressed body in pieces of bounded size."""
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            rest, content = chunk, b""
            while rest or len(content) == _CHUNK_BYTES:
                if content := decoder.decompress(rest, _CHUNK_BYTES):
                    yield content
                rest = decoder.unconsumed_tail
        is_whole = decoder.eof and not decoder.unused_data
    except zlib.error:
        is_whole = False
    if not is_whole:
        raise ConnectionFailedError("the response's body is not whole gzip", may_have_arrived=True)


def _cause(error: Exception) -> Exception | None:
    """Return what may be shown with an error; the message of a ValueError quotes the value of a header."""
    is_quoting = isinstance(error, ValueError) and not isinstance(error, urllib3.exceptions.HTTPError)
    return None if is_quoting else error


def _call_error(error: Exception, late: str) -> CallError:
    """Return the error of a call for whatever was raised; `late` says what a timeout means.

    It names the first cause: the messages in between contain the URL with its query.
    """
    if not isinstance(error, urllib3.exceptions.HTTPError):
        return ConnectionFailedError(type(error).__name__, may_have_arrived=True)
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return ConnectionFailedError(late, may_have_arrived=True, remedy=Advice.SLOW)
    chain: list[BaseException] = [error]
    while cause := chain[-1].__context__:
        chain.append(cause)
    first, name = chain[-1], type(error).__name__
    if isinstance(first, http1.UnknownLengthError):
        return ResponseError(
            "The response has neither a Content-Length nor chunks, so that nobody can tell whether all of it is here.",
            "Account A: the server, or a proxy before it, must send one of them.",
        )
    if isinstance(first, ssl.SSLCertVerificationError):
        return CertificateError(f"{name}: {first.verify_message}")
    own_words = not isinstance(first, urllib3.exceptions.HTTPError)
    if isinstance(first, socket.gaierror):
        name = next((f"{name} of {host}" for host in (getattr(link, "_host", "") for link in chain) if host), name)
    return ConnectionFailedError(
        f"{name}: {first}" if own_words else name, may_have_arrived=not isinstance(error, _NOTHING_SENT)
    )
