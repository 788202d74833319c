"""What can go wrong between a caller, STS, the API and its backend, in both directions."""

import functools
import gzip
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from cross_account_lab.judge.loopback import ConnectionFault, Exchange, RequestFault, Response, reset
from tests.wire.faults.clock import pace, stall

# --- Before a request -------------------------------------------------------------------------------------------------

reset_at_once = ConnectionFault(reset)
stalled_handshake = ConnectionFault(stall)


@ConnectionFault
def no_tls(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.recv(1)


def after_handshake(tls: ssl.SSLContext, act: Callable[[ssl.SSLSocket], object] = reset) -> ConnectionFault:
    """Reset the connection after a handshake, or do something else, without reading a request."""
    return ConnectionFault(lambda connection: act(tls.wrap_socket(connection, server_side=True)))


def presenting(tls: ssl.SSLContext) -> ConnectionFault:
    """Present another certificate."""
    return after_handshake(tls, lambda secure: secure.recv(1))


# --- After a request --------------------------------------------------------------------------------------------------

reset_after_request = RequestFault(Exchange.reset)
stalled_head = RequestFault(lambda exchange: stall(exchange.connection))


def after_work(act: Callable[[Exchange, Response], object]) -> RequestFault:
    """Do the work of a request, and then something else than to send its response."""
    return RequestFault(lambda exchange: act(exchange, exchange.respond()))


def sent(exchange: Exchange, data: bytes) -> Exchange:
    exchange.send(data)
    return exchange


def half_of(response: Response) -> bytes:
    return response.head + response.body[: len(response.body) // 2]


reset_after_work = after_work(lambda exchange, _: exchange.reset())
stalled_head_after_work = after_work(lambda exchange, _: stall(exchange.connection))
stalled_body = after_work(lambda exchange, response: stall(sent(exchange, half_of(response)).connection))
cut_head = after_work(lambda exchange, response: sent(exchange, response.head[: len(response.head) // 2]).close())
cut_body = after_work(lambda exchange, response: sent(exchange, half_of(response)).close())


def dripping(interval: float) -> RequestFault:
    """Send one byte at a time, each well within any timeout for a single read."""

    def drip(exchange: Exchange, response: Response) -> None:
        with pace(exchange.connection, interval):
            exchange.send(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n")
            for _ in range(100):
                exchange.send(b" ")
            exchange.stall()

    return after_work(drip)


@RequestFault
def not_http(exchange: Exchange) -> None:
    sent(exchange, b"\x00\x01\x02 what?\r\n\r\n").close()


@RequestFault
def endless_head(exchange: Exchange) -> None:
    with suppress(OSError):
        exchange.send(b"HTTP/1.1 200 OK\r\n" + b"X-Endless: x\r\n" * 10_000)


# --- Responses --------------------------------------------------------------------------------------------------------


def responding(response: Response | Callable[[], Response]) -> RequestFault:
    """Respond without doing the work."""
    return RequestFault(
        lambda exchange: exchange.send_response(response if isinstance(response, Response) else response())
    )


def altered(alter: Callable[[Response], Response]) -> RequestFault:
    """Do the work and alter its response."""
    return after_work(lambda exchange, response: exchange.send_response(alter(response)))


@functools.cache
def packed() -> bytes:
    """Return a small body that unpacks to 100 MB."""
    return gzip.compress(bytes(100_000_000), compresslevel=1)


truncated_json = altered(lambda response: replace(response, body=response.body[:-5]))
not_json = altered(lambda response: replace(response, body=b"<html>OK</html>"))
wrong_type = altered(lambda response: replace(response, headers={"Content-Type": "text/html"}))
no_body = altered(lambda response: replace(response, body=b""))
gzip_bomb = altered(
    lambda response: Response(response.status, {**response.headers, "Content-Encoding": "gzip"}, packed())
)


def huge(size: int) -> RequestFault:
    return altered(lambda response: replace(response, body=json.dumps("x" * size).encode()))


@RequestFault
def endless_body(exchange: Exchange) -> None:
    """Send chunks forever."""
    exchange.respond()
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(OSError):
        while True:
            exchange.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
