"""A server on loopback that reads what really arrives, and names of the Internet that lead to it."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import pytest

from tests.support.aws.sigv4 import Request, receive

_IDLE_SECONDS = 30.0

type Reply = tuple[int, Mapping[str, str], bytes]


@contextmanager
def serve(answer: Callable[[Request], Reply], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve HTTP/1.1 on a free port of the loopback interface, one thread a connection.

    Args:
        answer: What to answer to a request: status, headers and body. What cannot be read is answered with 400.
        tls: The context for HTTPS; None for plain HTTP.

    Yields:
        The port.
    """
    with _Server(answer, tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def names(places: Mapping[tuple[str, int], int]) -> Iterator[None]:
    """Resolve host names like a DNS server that knows only these.

    Args:
        places: For each host and port of a URL, the loopback port that stands for it.
    """

    def getaddrinfo(host: str | bytes, port: Any, *_: Any, **__: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if (name, port) not in places:
            raise socket.gaierror(socket.EAI_NONAME, f"{name}:{port} is no place of this test")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", places[name, port]))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


class _Server(socketserver.ThreadingTCPServer):
    request_queue_size = 128

    def __init__(self, answer: Callable[[Request], Reply], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.answer = answer
        self._tls = tls

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The handshake waits for the thread of this connection, which is the first to read.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


class _Connection(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while (request := receive(cast("BinaryIO", self.rfile))) is not None:
                self._reply(*self.server.answer(request), with_body=request.method != "HEAD")
        except ValueError as error:
            # Where this request ends and the next begins is not known any more.
            self._reply(400, {"Connection": "close"}, str(error).encode())
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass  # The other side is gone, and with it whoever could miss an answer.

    def _reply(self, status: int, headers: Mapping[str, str], body: bytes, *, with_body: bool = True) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = f"HTTP/1.1 {status} \r\n{head}Content-Length: {len(body)}\r\n\r\n".encode()
        self.wfile.write(answer + body * with_body)
