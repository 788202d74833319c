"""Connections to the API. No other module knows that urllib3 makes them.

Against urllib3's defaults: all connections share one TLS context, the read timeout limits the whole response instead of
each read, a response that is cut off within its headers is an error, no redirect is followed, nothing is retried.
"""

import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import certifi
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from cross_account_api.errors import (
    CertificateError,
    ConnectionFailedError,
    ResponseTooLargeError,
    SettingsError,
)

MAX_RESPONSE_BYTES = 10 * 1024 * 1024
"""API Gateway's own limit: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html"""

_CHUNK_BYTES = 64 * 1024
_MIN_READ_SECONDS = 0.1
_MAX_ADDRESSES = 8
"""Upper bound on addresses per host name; the connect timeout applies to each in turn."""
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
        self._pool = self._manager.connection_from_url(api_url)

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        """Send a request: see `Transport`."""
        deadline = time.monotonic() + min(timeout.total, timeout.connect + timeout.read)
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
            )
            with response:
                # Redirects are never followed, so nobody needs what comes with them.
                body = b"" if 300 <= response.status < 400 else _read(response, deadline)
        except urllib3.exceptions.HTTPError as error:
            raise _connection_error(error) from error
        headers = {name.lower(): value for name, value in response.headers.itermerged()}
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
        return urllib3.Retry().parse_retry_after(value)
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


def _read(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    if response.length_remaining is None and not response.chunked:
        # http.client takes the end of the connection for the end of the headers, and what is there for a response.
        raise ConnectionFailedError("the response ended within its headers", may_have_arrived=True)
    chunks = []
    size = 0
    while chunk := _read_chunk(response, deadline):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            raise ResponseTooLargeError(size, MAX_RESPONSE_BYTES)
        if time.monotonic() > deadline:
            raise ConnectionFailedError("the response did not end in time", may_have_arrived=True)
    return b"".join(chunks)


def _read_chunk(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Read what is there; the socket's own timeout would start anew with each read."""
    sock = getattr(response.connection, "sock", None)
    if sock:
        sock.settimeout(max(deadline - time.monotonic(), _MIN_READ_SECONDS))
    return response.read1(_CHUNK_BYTES)


def _connection_error(error: urllib3.exceptions.HTTPError) -> ConnectionFailedError:
    """Name the first cause; the messages in between contain the URL with its query."""
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
