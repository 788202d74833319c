"""What can go wrong between a caller, STS, the API and its backend, in both directions."""

from __future__ import annotations

import functools
import gzip
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from cross_account_lab.judge.loopback import ConnectionFault, Exchange, RequestFault, Response, reset

if TYPE_CHECKING:
    from tests.wire.faults.testbed import TestBed

_FOREVER = 255


def say_pace(bed: TestBed, connection: socket.socket, seconds: int) -> None:
    """Tell the caller how many seconds each read from a connection takes from now on: a file named by its ports."""
    ports = connection.getsockname()[1], connection.getpeername()[1]
    (bed.shared.folder / "{}-{}".format(*ports)).write_bytes(bytes([seconds]))


def stall(bed: TestBed, exchange: Exchange) -> None:
    """Send nothing more, and let time pass until the caller gives up."""
    say_pace(bed, exchange.connection, _FOREVER)
    exchange.stall()


# --- Before a request -------------------------------------------------------------------------------------------------

reset_at_once = ConnectionFault(reset)


@ConnectionFault
def no_tls(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.recv(1)


def stalled_handshake(bed: TestBed) -> ConnectionFault:
    def act(connection: socket.socket) -> None:
        say_pace(bed, connection, _FOREVER)
        while connection.recv(4096):
            pass

    return ConnectionFault(act)


def presenting(tls: ssl.SSLContext) -> ConnectionFault:
    """Present another certificate."""

    def act(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    return ConnectionFault(act)


def after_handshake(tls: ssl.SSLContext) -> ConnectionFault:
    """Reset the connection after the TLS handshake, without reading a request."""

    def act(connection: socket.socket) -> None:
        reset(tls.wrap_socket(connection, server_side=True))

    return ConnectionFault(act)


# --- After a request --------------------------------------------------------------------------------------------------


@RequestFault
def reset_after_request(exchange: Exchange) -> None:
    exchange.reset()


@RequestFault
def reset_after_work(exchange: Exchange) -> None:
    exchange.respond()
    exchange.reset()


@RequestFault
def cut_head(exchange: Exchange) -> None:
    head = exchange.respond().head
    exchange.send(head[: len(head) // 2])
    exchange.close()


@RequestFault
def cut_body(exchange: Exchange) -> None:
    response = exchange.respond()
    exchange.send(response.head + response.body[: len(response.body) // 2])
    exchange.close()


def stalled_head(bed: TestBed) -> RequestFault:
    return RequestFault(lambda exchange: stall(bed, exchange))


def stalled_head_after_work(bed: TestBed) -> RequestFault:
    def act(exchange: Exchange) -> None:
        exchange.respond()
        stall(bed, exchange)

    return RequestFault(act)


def stalled_body(bed: TestBed) -> RequestFault:
    def act(exchange: Exchange) -> None:
        response = exchange.respond()
        exchange.send(response.head + response.body[: len(response.body) // 2])
        stall(bed, exchange)

    return RequestFault(act)


def dripping(interval: int) -> Callable[[TestBed], RequestFault]:
    """Send one byte at a time, each well within any timeout for a single read."""

    def fault(bed: TestBed) -> RequestFault:
        def act(exchange: Exchange) -> None:
            exchange.respond()
            say_pace(bed, exchange.connection, interval)
            exchange.send(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n")
            for _ in range(100):
                exchange.send(b" ")
            exchange.stall()

        return RequestFault(act)

    return fault


@RequestFault
def not_http(exchange: Exchange) -> None:
    exchange.send(b"\x00\x01\x02 what?\r\n\r\n")
    exchange.close()


@RequestFault
def endless_head(exchange: Exchange) -> None:
    with suppress(OSError):
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            exchange.send(b"X-%d: x\r\n" % number)


# --- Responses --------------------------------------------------------------------------------------------------------


def responding(response: Response | Callable[[], Response]) -> RequestFault:
    """Respond without doing the work."""
    return RequestFault(
        lambda exchange: exchange.send_response(response if isinstance(response, Response) else response())
    )


def altered(alter: Callable[[Response], Response]) -> RequestFault:
    """Do the work and alter its response."""
    return RequestFault(lambda exchange: exchange.send_response(alter(exchange.respond())))


@functools.cache
def packed() -> bytes:
    """Return a small body that unpacks to 100 MB."""
    return gzip.compress(bytes(100_000_000), compresslevel=1)


truncated_json = altered(lambda response: replace(response, body=response.body[:-5]))
not_json = altered(lambda response: replace(response, body=b"<html>OK</html>"))
wrong_type = altered(lambda response: replace(response, headers={"Content-Type": "text/html"}))
no_body = altered(lambda response: replace(response, body=b""))


def huge(size: int) -> RequestFault:
    return altered(lambda response: replace(response, body=json.dumps("x" * size).encode()))


gzip_bomb = altered(
    lambda response: Response(response.status, {**response.headers, "Content-Encoding": "gzip"}, packed())
)


@RequestFault
def endless_body(exchange: Exchange) -> None:
    """Send chunks forever."""
    exchange.respond()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with suppress(OSError):
        while True:
            exchange.send(chunk)


# --- Several ----------------------------------------------------------------------------------------------------------


def random_faults(
    faults: list[RequestFault], share: float, draw: Callable[[], float]
) -> Callable[[], RequestFault | None]:
    """Choose a fault for a share of all requests, each fault equally often; `draw` returns a number from 0 to 1."""

    def choose() -> RequestFault | None:
        number = draw() / share
        return faults[int(number * len(faults))] if number < 1 else None

    return choose
