"""The connections to the API: urllib3, with what a caller needs to be different from its defaults.

- One TLS context for all connections; by default each new connection parses the CA file again.
- The read timeout limits the whole answer; by default it starts again with every byte that drips in.
- An answer that ends within its headers is none; by default it counts, with the headers that were there and no body.
- No redirect is followed and nothing is tried again here, and the environment is read once: `AWS_CA_BUNDLE` like any
  AWS SDK, `HTTPS_PROXY` and `NO_PROXY` like any program.
"""

import http.client
import io
import os
import ssl
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlsplit

import certifi
import urllib3
from requests.utils import get_environ_proxies, select_proxy

from cross_account_api.errors import SettingsError

_ONCE = urllib3.Retry(total=False, redirect=False)


@dataclass
class Request:
    """A request as it is signed and sent; AWS4Auth signs whatever has these attributes.

    Attributes:
        method: The HTTP method.
        url: The URL, encoded.
        headers: Names and values.
        body: The body; None for none.
    """

    method: str
    url: str
    body: bytes | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


class Transport(Protocol):
    """What sends a request."""

    def send(self, request: Request, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        """Send a request as it is, once.

        Args:
            request: The request.
            timeout: Seconds to connect, and for the whole answer.

        Returns:
            The response, its body still unread.

        Raises:
            urllib3.exceptions.HTTPError: There is no response.
        """


class Connections:
    """The connections to one API, kept open from one call to the next. Safe to use by several threads.

    Args:
        api_url: The API's address, which decides whether a proxy is used.
        size: How many connections are kept open: as many as there are threads.
        ca_bundle: A file of CA certificates, if not `AWS_CA_BUNDLE` or else the public ones.

    Raises:
        SettingsError: The file holds no CA certificates, or the proxy's address is none.
    """

    def __init__(self, api_url: str, size: int, ca_bundle: str = "") -> None:
        ca_bundle = ca_bundle or os.environ.get("AWS_CA_BUNDLE") or certifi.where()
        try:
            context = ssl.create_default_context(cafile=ca_bundle)
        except OSError as error:
            raise SettingsError("AWS_CA_BUNDLE", repr(ca_bundle), "a file of CA certificates in PEM form") from error
        self._manager = _manager(find_proxy(api_url), maxsize=size, ssl_context=context)
        self._origin = "{0.scheme}://{0.netloc}".format(urlsplit(api_url))
        self._pool: Any = self._manager.connection_from_url(api_url)
        self._pool.ConnectionCls = _HTTPSConnection if self._pool.scheme == "https" else _HTTPConnection

    def send(self, request: Request, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        """Send a request: see `Transport`."""
        response: urllib3.BaseHTTPResponse = self._pool.urlopen(
            request.method,
            request.url.removeprefix(self._origin),
            body=request.body,
            headers=request.headers,
            retries=_ONCE,
            redirect=False,
            timeout=timeout,
            preload_content=False,
        )
        return response

    def close(self) -> None:
        """Close the connections that are kept."""
        self._manager.clear()


def find_proxy(api_url: str) -> str | None:
    """Return the address of the proxy that the environment names for an API; None if it names none.

    Args:
        api_url: The API's address. What is reached without TLS is near: no proxy leads there.
    """
    if not api_url.startswith("https:"):
        return None
    proxy = select_proxy(api_url, get_environ_proxies(api_url, no_proxy=None))
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _manager(proxy: str | None, **options: Any) -> urllib3.PoolManager:
    if not proxy:
        return urllib3.PoolManager(**options)
    try:
        address = urllib3.util.parse_url(proxy)
        headers = urllib3.make_headers(proxy_basic_auth=address.auth_decoded_joined) if address.auth else None
        return urllib3.ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=options["ssl_context"], **options)
    except urllib3.exceptions.HTTPError as error:
        raise SettingsError("HTTPS_PROXY", "not an address", "http://host:port or https://host:port") from error


class _TimedSocket(io.RawIOBase):
    """A socket to read from until the time that its timeout gives has passed, however often something arrives."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._deadline = monotonic() + sock.gettimeout()
        self.ended = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not end in time")
        self._sock.settimeout(left)
        count: int = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        timed: Any = _TimedSocket(sock)
        super().__init__(timed, *args, **kwargs)
        self._socket: _TimedSocket = timed

    def begin(self) -> None:
        super().begin()
        # http.client takes the end of the connection for the end of the headers, and what is there for an answer.
        if self._socket.ended:
            raise http.client.IncompleteRead(b"")


class _HTTPConnection(urllib3.connection.HTTPConnection):
    response_class = _TimedResponse


class _HTTPSConnection(urllib3.connection.HTTPSConnection):
    response_class = _TimedResponse
