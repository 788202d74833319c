"""Connections to the API, over pairs of sockets that lead nowhere else."""

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
HTTPS_URL = "https://api.example.com/v1"
PATIENT = Timeout(connect=120, read=120, total=120)
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH, CHUNKS = OK + b"Content-Length: %d\r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"
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

    def answer(self, text: bytes, *, hang_up: bool = False) -> None:
        """From now on, send this."""

        def speak(send: Send) -> None:
            send(text)
            if hang_up:
                self._sockets[-2].shutdown(socket.SHUT_RDWR)

        self.speak = speak

    def drip(self, head: bytes, text: bytes) -> None:
        """From now on, send this, the text byte by byte."""

        def speak(send: Send) -> None:
            send(head)
            for byte in text:
                send(bytes([byte]))
                sleep(0.02)

        self.speak = speak

    def close(self) -> None:
        for end in self._sockets:
            end.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    for kind in (urllib3.connection.HTTPConnection, urllib3.connection.HTTPSConnection):
        monkeypatch.setattr(kind, "_new_conn", lambda _: server.connect())
    yield server
    server.close()


@pytest.fixture
def client() -> Client:
    """One with connections of its own."""
    return Client(URL, region="eu-west-1", credentials=FakeCredentials(FakeApi()), transport=Connections(URL, 1))


def get(connections: Connections | None = None, timeout: Timeout = PATIENT) -> HttpResponse:
    return (connections or Connections(URL, 1)).send(Request("GET", URL), timeout)


SLOW = {
    "nothing": (b"", b""),
    "body that drips": (LENGTH % 60, b"a" * 60),
    "chunks that drip": (CHUNKS, b"1\r\na\r\n" * 9 + b"0\r\n\r\n"),
    "body that stalls": (LENGTH % 9, b"abc"),
    "head that drips": (b"", LENGTH % 0),
}


@pytest.mark.parametrize(("head", "text"), SLOW.values(), ids=SLOW.keys())
def test_a_response_has_one_time_limit(server: Server, head: bytes, text: bytes) -> None:
    server.drip(head, text)

    with pytest.raises(ConnectionFailedError) as caught:
        get(timeout=Timeout(connect=120, read=0.4, total=0.4))

    assert caught.value.may_have_arrived


# --- Streams ----------------------------------------------------------------------------------------------------------

CUT = {
    "length": LENGTH % 9 + b"tea",
    "chunk": CHUNKS + b"9\r\ntea",
    "last chunk": CHUNKS + b"3\r\ntea\r\n",
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + gzip.compress(b"tea")[:12],
}


def open_stream(idle_timeout: float = 60, timeout: Timeout = PATIENT) -> Any:
    return Connections(URL, 1).open(Request("GET", URL), timeout, idle_timeout)


def test_a_stream_comes_as_it_is_sent(server: Server) -> None:
    is_read = threading.Event()

    def speak(send: Send) -> None:
        send(LENGTH % 6 + b"tea")
        is_read.wait(timeout=60)
        send(b"cup")

    server.speak = speak
    stream = open_stream()

    assert next(stream.chunks) == b"tea"
    is_read.set()
    assert list(stream.chunks) == [b"cup"]


@pytest.mark.parametrize(("head", "text"), [(LENGTH % 60, b"a" * 60), (CHUNKS, b"1\r\na\r\n" * 60 + b"0\r\n\r\n")])
def test_a_stream_may_take_longer_than_a_response(server: Server, head: bytes, text: bytes) -> None:
    server.drip(head, text)

    stream = open_stream(timeout=Timeout(connect=1, read=1, total=1))

    assert b"".join(stream.chunks) == b"a" * 60


@pytest.mark.parametrize("text", CUT.values(), ids=CUT.keys())
def test_a_stream_that_stalls_or_is_cut_off_is_an_error(server: Server, text: bytes) -> None:
    server.answer(text)
    with pytest.raises(ConnectionFailedError, match=r"nothing came for 0\.2 s|not whole gzip") as caught:
        list(open_stream(0.2).chunks)
    assert caught.value.may_have_arrived

    server.answer(text, hang_up=True)
    with pytest.raises(ConnectionFailedError, match=r"closed too early|ProtocolError|not whole gzip"):
        list(open_stream().chunks)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_stream_of_any_size_takes_little_memory(server: Server, is_compressed: bool) -> None:
    size, block = 64 * 1024 * 1024, bytes(1024 * 1024)
    packed = gzip.compress(bytes(size)) if is_compressed else b""

    def speak(send: Send) -> None:
        encoding = b"Content-Encoding: gzip\r\n" if packed else b""
        send(OK + encoding + b"Content-Length: %d\r\n\r\n" % (len(packed) or size))
        for part in [packed] if packed else [block] * (size // len(block)):
            send(part)

    server.speak = speak
    stream = open_stream()
    tracemalloc.start()
    try:
        assert sum(map(len, stream.chunks)) == size
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_the_connection_of_a_stream_is_kept_once_all_of_it_is_read(server: Server) -> None:
    server.answer(LENGTH % 3 + b"tea")
    connections = Connections(URL, 1)
    for _ in range(2):
        stream = connections.open(Request("GET", URL), PATIENT, 60)
        assert list(stream.chunks) == [b"tea"]
        stream.close()
    assert server.connections == 1

    connections.open(Request("GET", URL), PATIENT, 60).close()
    assert get(connections).body == b"tea"
    assert server.connections == 2, "the rest of the one before is nobody's response"


# --- Requests and responses -------------------------------------------------------------------------------------------


def test_a_connection_is_kept_and_nothing_else(server: Server) -> None:
    server.answer(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b; Path=/\r\n\r\n")
    connections = Connections(URL, 1)

    for _ in range(3):
        response = get(connections)
        assert (response.status, response.body) == (204, b"")

    assert (server.connections, len(server.requests)) == (1, 3)
    assert b"Cookie" not in server.requests[2]


def test_a_request_is_sent_as_it_is(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "missing"))
    server.answer(CHUNKS + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    request = Request("POST", f"{URL}/a%2Fb?c=%20", b'{"sku":"tea"}', {"X-Note": "it's 'x"})
    assert Connections(URL, 1).send(request, PATIENT).body == b"abcde"

    head, _, body = b"".join(server.requests).partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /v1/a%2Fb?c=%20 HTTP/1.1"
    assert {b"Host: 127.0.0.1:4566", b"Content-Length: 13", b"X-Note: it's 'x"} < set(head.splitlines())
    assert b"Authorization" not in head
    assert body == b'{"sku":"tea"}'


def test_the_size_of_a_response_is_limited(server: Server) -> None:
    server.answer(LENGTH % MAX_RESPONSE_BYTES + b"x" * MAX_RESPONSE_BYTES)
    assert len(get().body) == MAX_RESPONSE_BYTES

    server.answer(LENGTH % (MAX_RESPONSE_BYTES + 1) + b"x" * (MAX_RESPONSE_BYTES + 1))
    with pytest.raises(ResponseTooLargeError):
        get()


def test_a_body_in_another_encoding_than_declared_is_an_error(server: Server) -> None:
    server.answer(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\ntea!")

    with pytest.raises(ConnectionFailedError, match="not whole gzip"):
        get()


def test_a_body_that_ends_with_the_connection_is_told_as_what_it_is(server: Server, client: Client) -> None:
    server.answer(b"HTTP/1.0 200 OK\r\n\r\ntea")

    with pytest.raises(ResponseError, match="neither a Content-Length nor chunks") as caught:
        client.get("/")

    assert (caught.value.attempts, caught.value.may_have_arrived) == (1, True)
    assert caught.value.remedy.startswith("Account A: the server, or a proxy")


def test_a_redirect_is_not_followed(server: Server, client: Client) -> None:
    """Nor is its body waited for."""
    server.answer(b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 999\r\n\r\n")

    with pytest.raises(RedirectError):
        client.get("/")

    [request] = server.requests
    assert b"Host: 127.0.0.1:4566\r\n" in request


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
    kept.send(Request("POST", URL, is_repeatable=is_repeatable), PATIENT)

    assert server.connections == connections


def test_a_call_that_must_not_be_repeated_says_so(server: Server) -> None:
    clock = FakeTime()
    options: dict[str, Any] = {"region": "eu-west-1", "credentials": FakeCredentials(FakeApi()), "clock": clock}
    client = Client(URL, api_ignores_idempotency_keys=True, **options)
    for method in ("GET", "GET", "POST", "PATCH"):
        client.request(method, "/")
        clock.now += 10

    assert server.connections == 3


# --- Failures ---------------------------------------------------------------------------------------------------------

UNTRUSTED = ssl.SSLCertVerificationError(1, "certificate verify failed")
UNTRUSTED.verify_message = "self-signed certificate"
UNKNOWN_HOST = socket.gaierror(-2, "Not known")


@pytest.mark.parametrize(
    ("error", "url", "reason", "may_have_arrived"),
    [
        (ConnectionRefusedError(111, "refused"), URL, r"NewConnectionError: \[Errno 111\] refused", False),
        (TimeoutError("timed out"), URL, "ConnectTimeoutError: timed out", False),
        (UNKNOWN_HOST, URL, r"NameResolutionError of 127\.0\.0\.1: \[Errno -2\] Not known", False),
        (UNKNOWN_HOST, HTTPS_URL, r"of proxy\.example\.com: ", False),
        (MemoryError("hunter2"), URL, "MemoryError", True),
    ],
)
def test_a_failed_connection_names_its_first_cause_and_no_url(
    monkeypatch: pytest.MonkeyPatch, error: Exception, url: str, reason: str, may_have_arrived: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setattr("urllib3.util.connection.create_connection", fail)

    with pytest.raises(ConnectionFailedError, match=reason) as caught:
        Connections(url, 1).send(Request("GET", f"{url}/?token=hunter2"), PATIENT)

    assert caught.value.may_have_arrived is may_have_arrived
    assert "hunter2" not in str(caught.value)


def test_an_untrusted_certificate_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UNTRUSTED

    monkeypatch.setattr("urllib3.connection.ssl_wrap_socket", fail)

    with pytest.raises(CertificateError, match="self-signed certificate") as caught:
        Connections(HTTPS_URL, 1).send(Request("GET", HTTPS_URL), PATIENT)

    assert not caught.value.may_have_arrived
    assert "AWS_CA_BUNDLE" in caught.value.remedy


@pytest.mark.parametrize("value", ["hunter2\r", "hunter2 ☕"])
def test_a_header_that_cannot_be_sent_is_an_error_of_a_call_and_not_shown(server: Server, value: str) -> None:
    with pytest.raises(ConnectionFailedError) as caught:
        Connections(URL, 1).send(Request("GET", URL, headers={"X-Token": value}), PATIENT)

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []


# --- TLS and proxies --------------------------------------------------------------------------------------------------


def pool_of(api_url: str, size: int = 1, ca_bundle: str = "") -> urllib3.HTTPConnectionPool:
    pool = Connections(api_url, size, ca_bundle)._pool
    assert isinstance(pool, urllib3.HTTPConnectionPool)
    return pool


def test_all_connections_share_one_tls_context_that_verifies() -> None:
    pool = pool_of(HTTPS_URL, 7)

    context = pool.conn_kw["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.verify_flags == ssl.create_default_context().verify_flags, "the public CAs, as Python judges them"
    assert isinstance(pool, urllib3.HTTPSConnectionPool)
    assert pool.ca_certs is None
    assert pool.pool is not None
    assert pool.pool.maxsize == 7


@pytest.mark.parametrize(
    ("variables", "argument"),
    [
        ({"AWS_CA_BUNDLE": "{one}"}, ""),
        ({"REQUESTS_CA_BUNDLE": "{one}"}, ""),
        ({"REQUESTS_CA_BUNDLE": "/none", "AWS_CA_BUNDLE": "{one}"}, ""),
        ({"REQUESTS_CA_BUNDLE": "/none", "AWS_CA_BUNDLE": "/none"}, "{one}"),
    ],
)
def test_a_bundle_is_found_and_its_cas_judged_as_by_botocore(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], argument: str
) -> None:
    """Python 3.13 is strict, and refuses the CAs of many companies."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    (tmp_path / "one.pem").write_text(first + end)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(one=tmp_path / "one.pem"))

    context = pool_of(HTTPS_URL, ca_bundle=argument.format(one=tmp_path / "one.pem")).conn_kw["ssl_context"]

    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize(
    ("variable", "file"), [("AWS_CA_BUNDLE", "none"), ("REQUESTS_CA_BUNDLE", "none"), ("AWS_CA_BUNDLE", "empty")]
)
def test_an_invalid_bundle_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, file: str
) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.setenv(variable, f"{tmp_path}/{file}")

    with pytest.raises(SettingsError, match=f"{variable} is '{tmp_path}/{file}'"):
        Connections(URL, 1)


@pytest.mark.parametrize(
    ("proxy", "no_proxy", "url", "used"),
    [
        ("http://proxy.example.com:3128", "", HTTPS_URL, "http://proxy.example.com:3128"),
        ("me:p%40ss@proxy.example.com:3128", "", HTTPS_URL, "http://me:p%40ss@proxy.example.com:3128"),
        ("http://proxy.example.com:3128", "", URL, None),
        ("http://proxy.example.com:3128", "example.com", HTTPS_URL, None),
    ],
)
def test_a_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, proxy: str, no_proxy: str, url: str, used: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", no_proxy)

    pool = pool_of(url)

    assert str(pool.proxy) == str(used)
    if used:
        assert pool.conn_kw["ssl_context"].verify_mode == ssl.CERT_REQUIRED
        password = urllib3.make_headers(proxy_basic_auth="me:p@ss") if "@" in used else {}
        assert (pool.proxy_headers or {}) == password


@pytest.mark.parametrize(
    "proxy", ["ftp://secret@proxy.example.com", "http://secret:secret@proxy:port", "http://u:p%C5%82@127.0.0.1:9"]
)
def test_an_invalid_proxy_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        Connections(HTTPS_URL, 1)

    assert "secret" not in str(caught.value)
