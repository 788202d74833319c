"""The connection to the API: what `requests` must do differently from its defaults, in one session.

- One TLS context for all connections; by default each new connection parses the CA file again.
- The read timeout limits the whole answer; by default it starts again with every byte that drips in.
- An answer that ends within its headers is none; by default it counts, with the headers that were there and no body.
- No redirect is looked at, no cookie is kept, and the environment is read once: `AWS_CA_BUNDLE` like any AWS SDK,
  `HTTPS_PROXY` and `NO_PROXY` like any program. `.netrc` and `REQUESTS_CA_BUNDLE` have no say.
"""

import http.client
import io
import os
import ssl
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import Any

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from caller.errors import SettingsError


def new_session(api_url: str, connections: int, ca_bundle: str = "") -> requests.Session:
    """Make the session that all calls of an execution environment share.

    Args:
        api_url: The API's address, which decides whether a proxy is used.
        connections: How many connections are kept open: as many as there are threads.
        ca_bundle: A file of CA certificates, if not `AWS_CA_BUNDLE` or else the public ones.

    Returns:
        The session. It may be used by several threads.

    Raises:
        SettingsError: The file holds no CA certificates.
    """
    ca_bundle = ca_bundle or os.environ.get("AWS_CA_BUNDLE") or certifi.where()
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        raise SettingsError("AWS_CA_BUNDLE", repr(ca_bundle), "a file of CA certificates in PEM form") from error
    session = _Session()
    session.trust_env = False
    session.proxies.update(get_environ_proxies(api_url, no_proxy=None))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(context, connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: `requests` would read a redirect's whole body only to know where it points."""
        del resp


class _Adapter(HTTPAdapter):
    def __init__(self, context: ssl.SSLContext, connections: int) -> None:
        super().__init__(pool_maxsize=connections)
        self._context = context

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: str | tuple[str, str] | None = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context} if host["scheme"] == "https" else {}

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the verification to the context, which has the CA certificates already."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _HTTPSConnection if pool.scheme == "https" else _HTTPConnection
        return pool


class _TimedSocket(io.RawIOBase):
    """A socket to read from until the time that its timeout gives has passed, however often something arrives."""

    def __init__(self, sock: Any, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = monotonic() + sock.gettimeout()
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not end in time")
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._socket = _TimedSocket(sock, self.fp.detach())
        self.fp: io.BufferedReader = io.BufferedReader(self._socket)

    def begin(self) -> None:
        super().begin()
        # http.client takes the end of the connection for the end of the headers, and what is there for an answer.
        if self._socket.ended:
            raise http.client.IncompleteRead(b"")


class _HTTPConnection(urllib3.connection.HTTPConnection):
    response_class = _TimedResponse


class _HTTPSConnection(urllib3.connection.HTTPSConnection):
    response_class = _TimedResponse
