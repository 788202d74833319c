"""Connections to the API, over pairs of sockets that lead nowhere else."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import certifi
import pytest
import urllib3

from cross_account_api.client import Client
from cross_account_api.errors import (
    CertificateError,
    ConnectionFailedError,
    RedirectError,
    ResponseError,
    ResponseTooLargeError,
    SettingsError,
)
from cross_account_api.transport import MAX_RESPONSE_BYTES, Connections, HttpResponse, Request, Timeout
from tests.support.fakes import FakeApi, FakeCredentials, FakeTime

URL = "http://127.0.0.1:4566/v1"
type Send = Callable[[bytes], None]


class Server:
    """A server that sends what `speak` returns, for each request on each connection."""

    def __init__(self) -> None:
        self.speak: Callable[[Send], None] = lambda send: send(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.connections = 0
        self.requests: list[bytes] = []
        self._sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._sockets += [ours, theirs]
        self.connections += 1
        theirs.settimeout(120)
        threading.Thread(target=self._serve, args=(ours,), daemon=True).start()
        return theirs

    def _serve(self, ours: socket.socket) -> None:
        with suppress(OSError):
            while request := ours.recv(65536):
                self.requests.append(request)
                self.speak(ours.sendall)

    def hang_up(self) -> None:
        self._sockets[-2].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in self._sockets:
            end.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(urllib3.connection.HTTPConnection, "_new_conn", lambda _: server.connect())
    yield server
    server.close()


def get(connections: Connections, timeout: float = 120) -> HttpResponse:
    return connections.send(Request("GET", URL), Timeout(connect=120, read=timeout, total=timeout))


def drip(send: Send, head: bytes, text: bytes) -> None:
    send(head)
    for byte in text:
        send(bytes([byte]))
        sleep(0.02)


@pytest.mark.parametrize(
    "speak",
    [
        pytest.param(lambda _: None, id="nothing"),
        pytest.param(
            lambda send: drip(send, b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n", b"a" * 60),
            id="body that drips",
        ),
        pytest.param(
            lambda send: drip(
                send, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 9 + b"0\r\n\r\n"
            ),
            id="chunks that drip",
        ),
        pytest.param(lambda send: send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), id="body that stalls"),
    ],
)
def test_a_response_has_one_time_limit(server: Server, speak: Callable[[Send], None]) -> None:
    server.speak = speak
    connections = Connections(URL, 1)

    with pytest.raises(ConnectionFailedError) as caught:
        get(connections, 0.4)

    assert caught.value.may_have_arrived


PATIENT = Timeout(connect=60, read=60, total=60)
CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntea",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ntea",
    "last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntea\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + gzip.compress(b"tea")[:12],
}


def test_a_stream_comes_as_it_is_sent(server: Server) -> None:
    is_read = threading.Event()

    def speak(send: Send) -> None:
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntea")
        is_read.wait(timeout=60)
        send(b"cup")

    server.speak = speak
    stream = Connections(URL, 1).open(Request("GET", URL), PATIENT, 60)

    assert next(stream.chunks) == b"tea"
    is_read.set()
    assert list(stream.chunks) == [b"cup"]


@pytest.mark.parametrize(
    ("head", "text"),
    [(b"Content-Length: 60", b"a" * 60), (b"Transfer-Encoding: chunked", b"1\r\na\r\n" * 60 + b"0\r\n\r\n")],
)
def test_a_stream_may_take_longer_than_a_response(server: Server, head: bytes, text: bytes) -> None:
    server.speak = lambda send: drip(send, b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n", text)
    short = Timeout(connect=1, read=1, total=1)

    stream = Connections(URL, 1).open(Request("GET", URL), short, 60)

    assert b"".join(stream.chunks) == b"a" * 60


@pytest.mark.parametrize("text", CUT.values(), ids=CUT.keys())
def test_a_stream_that_stalls_or_is_cut_off_is_an_error(server: Server, text: bytes) -> None:
    server.speak = lambda send: send(text)
    stream = Connections(URL, 1).open(Request("GET", URL), PATIENT, 0.2)
    with pytest.raises(ConnectionFailedError, match=r"nothing came for 0\.2 s|not whole gzip") as caught:
        list(stream.chunks)
    assert caught.value.may_have_arrived

    def hang_up(send: Send) -> None:
        send(text)
        server.hang_up()

    server.speak = hang_up
    stream = Connections(URL, 1).open(Request("GET", URL), PATIENT, 60)
    with pytest.raises(ConnectionFailedError, match=r"cut off|closed too early|ProtocolError|not whole gzip"):
        list(stream.chunks)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_stream_of_any_size_takes_little_memory(server: Server, is_compressed: bool) -> None:
    size, block = 64 * 1024 * 1024, bytes(1024 * 1024)
    packed = gzip.compress(bytes(size)) if is_compressed else b""

    def speak(send: Send) -> None:
        encoding = b"Content-Encoding: gzip\r\n" if packed else b""
        send(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (encoding, len(packed) or size))
        for part in [packed] if packed else [block] * (size // len(block)):
            send(part)

    server.speak = speak
    stream = Connections(URL, 1).open(Request("GET", URL), PATIENT, 60)
    tracemalloc.start()
    try:
        assert sum(map(len, stream.chunks)) == size
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_the_connection_of_a_stream_is_kept_once_all_of_it_is_read(server: Server) -> None:
    server.speak = lambda send: send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntea")
    connections = Connections(URL, 1)
    for _ in range(2):
        stream = connections.open(Request("GET", URL), PATIENT, 60)
        assert list(stream.chunks) == [b"tea"]
        stream.close()
    assert server.connections == 1

    connections.open(Request("GET", URL), PATIENT, 60).close()
    assert get(connections).body == b"tea"
    assert server.connections == 2, "the rest of the one before is nobody's response"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    ],
)
def test_a_truncated_response_is_an_error(server: Server, text: bytes) -> None:
    def speak(send: Send) -> None:
        send(text)
        server.close()

    server.speak = speak

    with pytest.raises(ConnectionFailedError):
        get(Connections(URL, 1))


def test_a_connection_is_kept(server: Server) -> None:
    connections = Connections(URL, 1)

    for _ in range(3):
        response = get(connections)
        assert response.status == 204
        assert response.body == b""

    assert server.connections == 1
    assert len(server.requests) == 3


def test_what_arrives_in_time_is_read_as_it_is(server: Server) -> None:
    server.speak = lambda send: send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )

    assert get(Connections(URL, 1)).body == b"abcde"


def test_a_request_is_sent_as_it_is(server: Server) -> None:
    request = Request("POST", f"{URL}/a%2Fb?c=%20", b'{"sku":"tea"}', {"X-Note": "it's 'x"})

    Connections(URL, 1).send(request, Timeout(connect=120, read=120, total=120))

    head, _, body = b"".join(server.requests).partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /v1/a%2Fb?c=%20 HTTP/1.1"
    assert {b"Host: 127.0.0.1:4566", b"Content-Length: 13", b"X-Note: it's 'x"} < set(head.splitlines())
    assert body == b'{"sku":"tea"}'


def test_the_size_of_a_response_is_limited(server: Server) -> None:
    def speak(size: int) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
        server.speak = lambda send: send(head + b"x" * size)

    speak(MAX_RESPONSE_BYTES)
    assert len(get(Connections(URL, 1)).body) == MAX_RESPONSE_BYTES
    speak(MAX_RESPONSE_BYTES + 1)
    with pytest.raises(ResponseTooLargeError):
        get(Connections(URL, 1))


def test_a_body_in_another_encoding_than_declared_is_an_error(server: Server) -> None:
    server.speak = lambda send: send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\ntea!")

    with pytest.raises(ConnectionFailedError, match="not whole gzip"):
        get(Connections(URL, 1))


@pytest.mark.parametrize(
    ("error", "reason", "may_have_arrived"),
    [
        (
            ConnectionRefusedError(111, "Connection refused"),
            r"NewConnectionError: \[Errno 111\] Connection refused",
            False,
        ),
        (TimeoutError("timed out"), "ConnectTimeoutError: timed out", False),
        (socket.gaierror(-2, "Not known"), r"NameResolutionError of 127\.0\.0\.1: \[Errno -2\] Not known", False),
    ],
)
def test_a_failed_connection_names_its_first_cause_and_no_url(
    monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str, may_have_arrived: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("urllib3.util.connection.create_connection", fail)
    request = Request("GET", f"{URL}/?token=hunter2")

    with pytest.raises(ConnectionFailedError, match=reason) as caught:
        Connections(URL, 1).send(request, Timeout(connect=120, read=120, total=120))

    assert caught.value.may_have_arrived is may_have_arrived
    assert "hunter2" not in str(caught.value)


def test_the_host_that_cannot_be_resolved_may_be_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Not known")

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setattr("urllib3.util.connection.create_connection", fail)
    url = "https://api.example.com/v1"

    with pytest.raises(ConnectionFailedError, match=r"of proxy\.example\.com: ") as caught:
        Connections(url, 1).send(Request("GET", url), Timeout(connect=120, read=120, total=120))

    assert not caught.value.may_have_arrived


@pytest.mark.parametrize("value", ["hunter2\r", "hunter2 ☕"])
def test_a_header_that_cannot_be_sent_is_an_error_of_a_call_and_not_shown(server: Server, value: str) -> None:
    request = Request("GET", URL, headers={"X-Token": value})

    with pytest.raises(ConnectionFailedError) as caught:
        Connections(URL, 1).send(request, Timeout(connect=120, read=120, total=120))

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []


def test_whatever_else_goes_wrong_is_an_error_of_a_call(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("hunter2")

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "_new_conn", fail)

    with pytest.raises(ConnectionFailedError, match="MemoryError") as caught:
        get(Connections(URL, 1))

    assert caught.value.may_have_arrived


def test_a_body_that_ends_with_the_connection_is_told_as_what_it_is(server: Server) -> None:
    server.speak = lambda send: send(b"HTTP/1.0 200 OK\r\n\r\ntea")
    client = Client(URL, region="eu-west-1", credentials=FakeCredentials(FakeApi()), transport=Connections(URL, 1))

    with pytest.raises(ResponseError, match="neither a Content-Length nor chunks") as caught:
        client.get("/")

    assert (caught.value.attempts, caught.value.may_have_arrived) == (1, True)
    assert caught.value.remedy.startswith("Account A: the server, or a proxy")


@pytest.mark.parametrize(
    ("seconds", "is_repeatable", "connections"),
    [(59, True, 1), (61, True, 2), (4, False, 1), (6, False, 2), (3600, False, 2)],
)
@pytest.mark.parametrize("stopped", ["", "monotonic", "time"])
def test_a_connection_that_was_idle_for_long_is_not_used_again(
    server: Server, seconds: float, is_repeatable: bool, connections: int, stopped: str
) -> None:
    """Either clock may stand still while a virtual machine does."""
    clock = FakeTime()
    kept = Connections(URL, 1, clock=clock)
    get(kept)
    if stopped:
        setattr(clock, stopped, lambda now=clock.now: now)

    clock.now += seconds
    kept.send(Request("POST", URL, is_repeatable=is_repeatable), Timeout(connect=120, read=120, total=120))

    assert server.connections == connections


def test_a_call_that_must_not_be_repeated_says_so(server: Server) -> None:
    clock = FakeTime()
    options: dict[str, Any] = {"region": "eu-west-1", "credentials": FakeCredentials(FakeApi()), "clock": clock}
    client = Client(URL, api_ignores_idempotency_keys=True, **options)
    for method in ("GET", "GET", "POST", "PATCH"):
        client.request(method, "/")
        clock.now += 10

    assert server.connections == 3


def test_an_untrusted_certificate_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("urllib3.connection.ssl_wrap_socket", fail)
    monkeypatch.setattr(urllib3.connection.HTTPSConnection, "_new_conn", lambda _: server.connect())
    url = "https://api.example.com/v1"

    with pytest.raises(CertificateError, match="self-signed certificate") as caught:
        Connections(url, 1).send(Request("GET", url), Timeout(connect=120, read=120, total=120))

    assert not caught.value.may_have_arrived
    assert "AWS_CA_BUNDLE" in caught.value.remedy


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.speak = lambda send: send(
        b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n"
    )
    client = Client(URL, region="eu-west-1", credentials=FakeCredentials(FakeApi()), transport=Connections(URL, 1))

    with pytest.raises(RedirectError):
        client.get("/")

    [request] = server.requests
    assert b"Host: 127.0.0.1:4566\r\n" in request


def test_a_redirect_without_end_holds_nothing_up(server: Server) -> None:
    server.speak = lambda send: send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 999\r\n\r\n")

    assert get(Connections(URL, 1)).status == 302


def test_no_cookie_is_kept(server: Server) -> None:
    server.speak = lambda send: send(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b; Path=/\r\n\r\n")
    connections = Connections(URL, 1)

    for _ in range(2):
        get(connections)

    assert len(server.requests) == 2
    assert b"Cookie" not in server.requests[1]


def pool_of(api_url: str, size: int = 1) -> urllib3.HTTPConnectionPool:
    pool = Connections(api_url, size)._pool
    assert isinstance(pool, urllib3.HTTPConnectionPool)
    return pool


def test_all_connections_share_one_tls_context_that_verifies() -> None:
    pool = pool_of("https://api.example.com", 7)

    context = pool.conn_kw["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert isinstance(pool, urllib3.HTTPSConnectionPool)
    assert pool.ca_certs is None
    assert pool.pool is not None
    assert pool.pool.maxsize == 7


def test_the_bundle_of_any_aws_sdk_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificates = Path(certifi.where()).read_text()
    end = "-----END CERTIFICATE-----\n"
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(certificates[: certificates.index(end) + len(end)])
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))

    pool = pool_of("https://api.example.com")

    assert len(pool.conn_kw["ssl_context"].get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("variables", "argument"),
    [
        ({"REQUESTS_CA_BUNDLE": certifi.where()}, ""),
        ({"REQUESTS_CA_BUNDLE": "/none", "AWS_CA_BUNDLE": certifi.where()}, ""),
        ({"REQUESTS_CA_BUNDLE": "/none", "AWS_CA_BUNDLE": "/none"}, certifi.where()),
    ],
)
def test_a_bundle_is_found_and_its_cas_judged_as_by_botocore(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], argument: str
) -> None:
    """Python 3.13 is strict, and refuses the CAs of many companies."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    context = Connections("https://api.example.com", 1, argument)._pool.conn_kw["ssl_context"]

    assert context.verify_mode == ssl.CERT_REQUIRED
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_without_a_bundle_the_public_cas_are_judged_as_python_does() -> None:
    flags = pool_of("https://api.example.com").conn_kw["ssl_context"].verify_flags

    assert flags == ssl.create_default_context().verify_flags


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_the_error_names_the_variable_of_the_bundle(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "/none")

    with pytest.raises(SettingsError, match=f"{variable} is '/none'"):
        Connections(URL, 1)


def test_an_invalid_bundle_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()

    for bundle in (tmp_path / "missing.pem", tmp_path / "empty.pem"):
        with pytest.raises(SettingsError, match="AWS_CA_BUNDLE"):
            Connections(URL, 1, str(bundle))


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")

    pool = pool_of("https://api.example.com")

    assert pool.proxy is not None
    assert pool.proxy.host == "proxy.example.com"
    assert pool.conn_kw["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert pool_of(URL).proxy is None

    monkeypatch.setenv("NO_PROXY", "example.com")
    assert pool_of("https://api.example.com").proxy is None


def test_a_proxy_may_want_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "me:p%40ss@proxy.example.com:3128")

    pool = pool_of("https://api.example.com")

    assert pool.proxy is not None
    assert pool.proxy.scheme == "http"
    assert pool.proxy_headers == urllib3.make_headers(proxy_basic_auth="me:p@ss")


@pytest.mark.parametrize(
    "proxy", ["ftp://secret@proxy.example.com", "http://secret:secret@proxy:port", "http://u:p%C5%82@127.0.0.1:9"]
)
def test_an_invalid_proxy_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        Connections("https://api.example.com", 1)

    assert "secret" not in str(caught.value)


def test_nothing_else_in_the_environment_matters(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "missing"))

    get(Connections(URL, 1))

    assert b"Authorization" not in server.requests[0]
