"""An HTTPS server on loopback that can go wrong at any point of a connection."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Response:
    """A response that can be sent whole, or in parts."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in ({"Content-Length": len(self.body)} | self.headers).items()]
        return "\r\n".join([*lines, "", ""]).encode()

    @property
    def content(self) -> bytes:
        return self.head + self.body


@dataclass
class Exchange:
    """A request on its connection, to be answered in whatever way."""

    request: Request
    _connection: socket.socket
    _stream: BinaryIO
    _respond: Callable[[Request], Response]

    def respond(self) -> Response:
        """Let the server do the work, without sending the response."""
        return self._respond(self.request)

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def stall(self) -> None:
        """Say no more until the other side has had enough, or the server is stopped."""
        with suppress(OSError):
            self._connection.recv(1)
        self.close()

    def close(self) -> None:
        # As long as one of both is open, the connection is.
        self._stream.close()
        self._connection.close()

    def reset(self) -> None:
        self._stream.close()
        reset(self._connection)


def reset(connection: socket.socket) -> None:
    """Close a connection by RST, as a host does that has lost it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@dataclass(frozen=True)
class ConnectionFault:
    """What goes wrong with a connection before it carries a request; `act` gets the bare TCP connection."""

    act: Callable[[socket.socket], None]


@dataclass(frozen=True)
class RequestFault:
    """What goes wrong with a request."""

    act: Callable[[Exchange], None]


type Fault = ConnectionFault | RequestFault
type Choice = Callable[[], Fault | None]


def never() -> None:
    """Choose no fault."""


def always(fault: Fault) -> Choice:
    return lambda: fault


def once(fault: Fault) -> Choice:
    faults = [fault]

    def choose() -> Fault | None:
        with suppress(IndexError):
            return faults.pop()
        return None

    return choose


class Server:
    """Serves with one thread a connection, until `stop`.

    Args:
        tls: Its certificate.
        respond: Makes the response to a request.

    Attributes:
        requests: Every request that was read to its end.
        crashes: What `respond` or a fault raised: mistakes of the suite itself.
    """

    def __init__(self, tls: ssl.SSLContext, respond: Callable[[Request], Response]) -> None:
        self._tls = tls
        self._respond = respond
        self._choose: Choice = never
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.requests: list[Request] = []
        self.crashes: list[Exception] = []
        self._listener = self._listen(0)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    def misbehave(self, choose: Choice) -> None:
        """Ask `choose` from now on what shall go wrong with the next request, from a new connection on."""
        self._choose = choose
        self._drop_connections()

    def behave(self) -> None:
        self.misbehave(never)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Have nobody listen on the port: connections are refused."""
        port = self.port
        self._close_listener()
        # Bound but not listening, so that nobody else gets the port.
        with socket.socket() as placeholder:
            placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            placeholder.bind((HOST, port))
            self._drop_connections()
            self._listener = placeholder
            yield
        self._listener = self._listen(port)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Have a full backlog: the kernel ignores further connections, and they time out."""
        port = self.port
        self._close_listener()
        self._drop_connections()
        with socket.socket() as listener, socket.socket() as waiting:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
            listener.listen(0)
            waiting.connect((HOST, port))
            self._listener = listener
            yield
        self._listener = self._listen(port)

    def stop(self) -> None:
        self._close_listener()
        self._drop_connections()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server((HOST, port), backlog=64)
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _close_listener(self) -> None:
        with suppress(OSError):
            # Closing alone would leave the accepting thread in its call.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _drop_connections(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        fault = self._choose()
        try:
            if isinstance(fault, ConnectionFault):
                fault.act(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secure, secure.makefile("rb") as stream:
                with self._lock:
                    self._connections.add(secure)
                while request := _read(stream):
                    with self._lock:
                        self.requests.append(request)
                    exchange = Exchange(request, secure, stream, self._respond)
                    if isinstance(fault, RequestFault):
                        fault.act(exchange)
                    else:
                        exchange.send(exchange.respond().content)
                    fault = self._choose()
        except (OSError, ValueError):
            pass  # The other side has gone, or this one has closed the connection on purpose.
        except Exception as error:  # Whatever it is, a test shall see it.
            self.crashes.append(error)
        finally:
            connection.close()


def _read(stream: BinaryIO) -> Request | None:
    line = stream.readline().decode()
    if not line:
        return None
    method, target, _ = line.split(" ")
    headers = http.client.parse_headers(stream)
    return Request(method, target, headers, stream.read(int(headers["Content-Length"] or 0)))
