"""An HTTP or HTTPS server on loopback that can fail at any point of a connection."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import BinaryIO, Self, TypeAlias

from cross_account_lab.judge.sigv4 import MalformedRequestError, Request, receive

HOST = "127.0.0.1"
_IDLE_SECONDS = 600.0


@dataclass(frozen=True)
class Response:
    """A response that can be sent whole or in parts."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def head(self) -> bytes:
        """The status line and headers."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in {"Content-Length": len(self.body), **self.headers}.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    @property
    def content(self) -> bytes:
        """All of it."""
        return self.head + self.body


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response in JSON."""
    return Response(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(body).encode())


@dataclass
class Exchange:
    """A request and its connection."""

    request: Request
    connection: socket.socket
    _stream: BinaryIO
    _respond: Callable[[Request], Response]

    def respond(self) -> Response:
        """Do the work of the request without sending the response."""
        return self._respond(self.request)

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.connection.sendall(data)

    def send_response(self, response: Response) -> None:
        """Send a response; to HEAD, only its head."""
        self.send(response.head if self.request.method == "HEAD" else response.content)

    def stall(self) -> None:
        """Send nothing until the client closes the connection or the server stops."""
        with suppress(OSError):
            self.connection.recv(1)
        self.close()

    def close(self) -> None:
        """End the connection in order."""
        # The connection stays open until both are closed.
        self._stream.close()
        self.connection.close()

    def reset(self) -> None:
        """End the connection with RST."""
        self._stream.close()
        reset(self.connection)


def reset(connection: socket.socket) -> None:
    """Close a connection with RST, like a host that has lost its state."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@dataclass(frozen=True)
class ConnectionFault:
    """A fault before a connection carries a request; `act` gets the bare TCP connection."""

    act: Callable[[socket.socket], object]


@dataclass(frozen=True)
class RequestFault:
    """A fault after a request has been read."""

    act: Callable[[Exchange], object]


Fault: TypeAlias = ConnectionFault | RequestFault
Choice: TypeAlias = Callable[[], Fault | None]


def never() -> None:
    """Choose no fault."""


def always(fault: Fault) -> Choice:
    """Choose a fault each time."""
    return lambda: fault


def once(fault: Fault) -> Choice:
    """Choose a fault the first time."""
    faults = [fault]

    def choose() -> Fault | None:
        with suppress(IndexError):
            return faults.pop()
        return None

    return choose


class Server:
    """Serves HTTP/1.1 with a thread per connection, until `stop`. A malformed request gets a 400.

    Attributes:
        port: The port that it listens on.
        host: Host and port.
        requests: Every request that was read completely.
        crashes: What `respond` or a fault raised: bugs of the test suite.
    """

    def __init__(
        self,
        respond: Callable[[Request], Response],
        tls: ssl.SSLContext | None = None,
        *,
        host: str = HOST,
        port: int = 0,
    ) -> None:
        self._respond = respond
        self._tls = tls
        self._choose: Choice = never
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.requests: list[Request] = []
        self.crashes: list[Exception] = []
        self._listener = socket.create_server((host, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.host = f"{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def inject(self, choose: Choice) -> None:
        """Drop all connections, and from now on ask `choose` for the fault of each connection and request."""
        self._choose = choose
        self._drop_connections()

    def clear(self) -> None:
        """Drop all connections, and choose no more faults."""
        self.inject(never)

    def stop(self) -> None:
        """Drop all connections, accept no more, and raise what crashed."""
        with suppress(OSError):
            # Closing alone would leave the accepting thread in its call.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._drop_connections()
        if self.crashes:
            raise ExceptionGroup("a server of the test suite failed", self.crashes)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _drop_connections(self) -> None:
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_IDLE_SECONDS)
        fault, secure = self._choose(), connection
        try:
            if isinstance(fault, ConnectionFault):
                fault.act(connection)
                return
            secure = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with self._lock:
                self._connections.add(secure)
            with secure, secure.makefile("rb") as stream:
                self._serve_requests(secure, stream, fault)
        except (OSError, ValueError):
            pass  # The client has gone, or a fault has closed the connection.
        except Exception as error:  # A test must see it.
            self.crashes.append(error)
        finally:
            with self._lock:
                self._connections.discard(secure)
            connection.close()

    def _serve_requests(self, connection: socket.socket, stream: BinaryIO, fault: Fault | None) -> None:
        try:
            while request := receive(stream):
                with self._lock:
                    self.requests.append(request)
                exchange = Exchange(request, connection, stream, self._respond)
                if isinstance(fault, RequestFault):
                    fault.act(exchange)
                else:
                    exchange.send_response(exchange.respond())
                fault = self._choose()
        except MalformedRequestError as error:
            # Where this request ends and the next one begins is unknown.
            connection.sendall(Response(400, {"Connection": "close"}, str(error).encode()).content)
