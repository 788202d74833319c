"""No response, however odd, is taken for a success that it is not."""

import gzip
import itertools
import json
import socket
import string
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st

from cross_account_api import Response
from cross_account_api.errors import (
    CallError,
    ConnectionFailedError,
    InvalidResponseError,
    RedirectError,
    ResponseError,
)
from cross_account_api.response import read_response
from cross_account_api.transport import Connections, HttpResponse, HttpStream, Request, Timeout
from cross_account_lab.judge.loopback import HOST, ConnectionFault, Exchange, RequestFault, Server, always
from cross_account_lab.judge.loopback import Response as Canned
from tests.support.certificates import Authority
from tests.wire.attack.profile import attack

TIMEOUT = Timeout(connect=120, read=120, total=120)
type Parts = list[bytes]

JSON = b'{"order_id": "1", "quantity": 12}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
BOMB = gzip.compress(bytes(100_000_000), 6)
ZIPPED = gzip.compress(b"tea " * 100)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TWO = b"Content-Length: 2\r\n\r\nhi"
RESPONSES = {
    "json": (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nx-amzn-RequestId: 1\r\n"
        b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON,
        (201, JSON),
    ),
    "text": (HEAD + b"Content-Length: 012\r\n\r\nHTTP/1.1 200", (200, b"HTTP/1.1 200")),
    "empty": (HEAD + b"Content-Length: 0\r\nX-Last: 1\r\n\r\n", (200, b"")),
    "chunked": (
        CHUNKED + b"3\r\ntea\r\n000a;x=y\r\n0123456789\r\n00\r\nX-Trailer: 1\r\n\r\n",
        (200, b"tea0123456789"),
    ),
    "gzip": (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED,
        (200, b"tea " * 100),
    ),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HEAD + TWO,
        (200, b"hi"),
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\nX-Last: 1\r\n\r\n", (204, b"")),
    "error": (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno!",
        (404, b"no!"),
    ),
}
ODD = {
    "status with underscores": b"HTTP/1.1 2_00 OK\r\n" + TWO,
    "status of four digits": b"HTTP/1.1 0200 OK\r\n" + TWO,
    "status 0": b"HTTP/1.1 000 OK\r\n" + TWO,
    "HTTP/0.9": b"hi",
    "HTTP/2 preface": b"\0\0\x12\4\0\0\0\0\0",
    "TLS alert": b"\x15\3\1\0\2\2\x16",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "lengths that contradict": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "lengths in a list": HEAD + b"Content-Length: 2, 3\r\n\r\nhi!",
    "length with underscores": HEAD + b"Content-Length: 0_2\r\n\r\nhi",
    "length with sign": HEAD + b"Content-Length: +2\r\n\r\nhi",
    "length after a control character": HEAD + b"Content-Length: \x0b2\r\n\r\nhi",
    "negative length": HEAD + b"Content-Length: -2\r\n\r\nhi",
    "no length": HEAD + b"\r\nhi",
    "no length, HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhi",
    "coding that is unknown": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "negative chunk": CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n",
    "endless chunk size": CHUNKED + b"0" * 70_000 + b"2\r\nhi\r\n0\r\n\r\n",
    "header without colon": HEAD + b"tea\r\n" + TWO,
    "many headers": HEAD + b"X-A: 1\r\n" * 9000 + TWO,
    "huge header": HEAD + b"X-A: " + b"x" * 70_000 + b"\r\n" + TWO,
    "gzip that is none": HEAD + b"Content-Encoding: gzip\r\n" + TWO,
    "gzip bomb": HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "too large": HEAD + b"Content-Length: 10485761\r\n\r\n" + bytes(10485761),
    "too large by its own account": HEAD + b"Content-Length: 999999999999\r\n\r\n" + bytes(11_000_000),
}


@pytest.fixture
def api() -> Iterator[Server]:
    with Server(lambda _: Canned(500)) as api:
        yield api


@pytest.fixture
def connections(api: Server) -> Iterator[Connections]:
    with closing(Connections(api.url, 1)) as connections:
        yield connections


def answer(api: Server, *answers: Parts, keeps: bool = False) -> threading.Event:
    """Let the API send bytes as they are, one list of parts for each request, and close or keep the connection."""
    script, has_answered = iter(answers), threading.Event()

    def speak(exchange: Exchange) -> None:
        try:
            for part in next(script, []):
                exchange.send(part)
        finally:
            has_answered.set()
        if not keeps:
            exchange.close()

    api.inject(always(RequestFault(speak)))
    return has_answered


def send(api: Server, connections: Connections, method: str = "GET", path: str = "/") -> HttpResponse:
    return connections.send(Request(method, api.url + path), TIMEOUT)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", RESPONSES)
def test_a_response_that_is_cut_off_anywhere_is_none(
    api: Server, connections: Connections, name: str, method: str
) -> None:
    whole, (status, body) = RESPONSES[name]
    end = len(whole) if method == "GET" else len(whole.rpartition(b"\r\n\r\n")[0]) + 4
    if name == "chunked" and method == "HEAD":
        end = whole.index(b"\r\n\r\n") + 4

    for length in range(end):
        answer(api, [whole[:length]])
        with suppress(ConnectionFailedError):
            response = send(api, connections, method)
            assert not 200 <= response.status < 300, f"{length} of {end} bytes: {response}"

    answer(api, [whole])
    response = send(api, connections, method)
    assert (response.status, response.body) == (status, body if method == "GET" else b"")


@pytest.mark.parametrize("name", ODD)
def test_an_odd_response_is_no_success(api: Server, connections: Connections, name: str) -> None:
    answer(api, [ODD[name]])

    with pytest.raises(CallError):
        read_response(send(api, connections))


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "hi"),
        (HEAD + b"X-A: 1\r\n  2\r\n" + TWO, "hi"),
        (HEAD + b"Content-Length: 2\r\n" + TWO, "hi"),
        (HEAD + b"Content-Encoding: GZIP\t\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED, "tea " * 100),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", None),
        (b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n", None),
        (HEAD + b"X-A: \xff\xfe\r\n" + TWO, "hi"),
        (HEAD + b"Content-Encoding: br\r\n" + TWO, "aGk="),
        pytest.param(HEAD + b"Content-Length: 10485760\r\n\r\n" + b"x" * 10485760, "x" * 10485760, id="large"),
    ],
)
def test_what_is_only_unusual_is_a_success(api: Server, connections: Connections, raw: bytes, body: str | None) -> None:
    answer(api, [raw], keeps=True)

    assert read_response(send(api, connections)).body == body


def test_a_body_that_ends_with_the_connection_is_told_as_what_it_is(api: Server, connections: Connections) -> None:
    answer(api, [ODD["no length, HTTP/1.0"]])

    with pytest.raises(ResponseError, match="neither a Content-Length nor chunks") as caught:
        send(api, connections)

    assert caught.value.may_have_arrived
    assert caught.value.remedy.startswith("Account A: the server, or a proxy")


def test_a_redirect_is_not_followed_nor_its_body_waited_for(api: Server, connections: Connections) -> None:
    answer(api, [b"HTTP/1.1 302 Found\r\nLocation: /v1\r\nContent-Length: 999\r\n\r\n"], keeps=True)

    with pytest.raises(RedirectError):
        read_response(send(api, connections))

    assert len(api.requests) == 1


garbage = st.sampled_from(
    [
        HEAD + b"X-Stale: 1\r\nContent-Length: 5\r\n\r\nstale",
        b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\nstale",
        b"stale",
        b"0\r\n\r\n",
        b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ]
)


@attack
@given(st.sampled_from(sorted(RESPONSES)), garbage, st.sampled_from(["GET", "HEAD", "PUT"]), st.booleans())
def test_a_kept_connection_has_nothing_for_the_next_call(
    api: Server, name: str, extra: bytes, method: str, in_one: bool
) -> None:
    first = RESPONSES[name][0] + extra * in_one
    fresh = HEAD + b"X-Fresh: 1\r\nContent-Length: 5\r\n\r\nfresh"
    connections = Connections(api.url, 1)
    has_answered = answer(api, [first] if in_one else [first, extra], [fresh], keeps=True)
    with suppress(CallError):
        send(api, connections, method, "/first")
    assert has_answered.wait(120)  # what arrives after the next request, nobody could tell from its response

    with closing(connections), suppress(ConnectionFailedError):
        response = send(api, connections, "GET", "/second")
        assert (response.headers.get("x-fresh"), response.body) == ("1", b"fresh")


def test_a_kept_tls_connection_has_nothing_for_the_next_call(authority: Authority) -> None:
    stale = HEAD + b"Content-Length: 5\r\n\r\nstale"
    head = HEAD + b"Content-Length: %d\r\n\r\n"
    size = 8192 - len(head % 8000)  # the first response fills the buffer of whoever reads it; the other stays in TLS

    def speak(exchange: Exchange) -> None:
        is_first = exchange.request.target == "/first"
        exchange.send(head % size + b"x" * size + stale if is_first else head % 5 + b"fresh")

    with Server(lambda _: Canned(500), authority.tls(HOST)) as api:
        api.inject(always(RequestFault(speak)))
        with closing(Connections(api.url, 1, str(authority.bundle))) as connections:
            for path, body in (("/first", b"x" * size), ("/second", b"fresh"), ("/third", b"fresh")):
                assert connections.send(Request("GET", api.url + path), TIMEOUT).body == body


DRIPPING = {
    "status": [bytes([byte]) for byte in b"HTTP/1.1 200 OK and so on and on and"],
    "interim responses": [b"HTTP/1.1 100 Continue\r\n\r\n"] * 40,
    "headers": [HEAD, *[b"X-A: 1\r\n"] * 40],
    "body": [HEAD + b"Content-Length: 99\r\n\r\n", *[b"a"] * 40],
    "chunks": [CHUNKED, *[b"1\r\na\r\n"] * 40],
    "trailers": [CHUNKED + b"0\r\n", *[b"X: 1\r\n"] * 40],
}


@pytest.mark.parametrize("pieces", DRIPPING.values(), ids=DRIPPING.keys())
def test_a_response_that_drips_ends_in_time(pieces: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(120)
    parts, seconds = iter(pieces), itertools.count()

    def tick() -> float:
        ours.sendall(next(parts))
        return next(seconds)

    monkeypatch.setattr(urllib3.connection.HTTPConnection, "_new_conn", lambda _: theirs)
    # Whenever the client looks at the clock, a second has passed, and another part has arrived.
    monkeypatch.setattr("time.monotonic", tick)
    url = f"http://{HOST}:1"

    with ours, theirs, pytest.raises(ConnectionFailedError, match="longer than 9 s") as caught:
        Connections(url, 1).send(Request("GET", f"{url}/"), Timeout(connect=3, read=9, total=90))

    assert "if the API needs longer, allow it" in caught.value.remedy
    assert caught.value.may_have_arrived


def test_a_body_may_take_longer_to_send_than_to_connect(api: Server, connections: Connections) -> None:
    def read_slowly(connection: socket.socket) -> None:
        time.sleep(0.6)
        left = 4_000_000
        while left > 0:
            left -= len(connection.recv(1 << 20))
        connection.sendall(RESPONSES["json"][0])

    api.inject(always(ConnectionFault(read_slowly)))

    response = connections.send(
        Request("PUT", f"{api.url}/", bytes(4_000_000)), Timeout(connect=0.2, read=120, total=120)
    )

    assert response.status == 201


# --- Streams ----------------------------------------------------------------------------------------------------------

CUT = {
    "length": HEAD + b"Content-Length: 9\r\n\r\ntea",
    "chunk": CHUNKED + b"9\r\ntea",
    "last chunk": CHUNKED + b"3\r\ntea\r\n",
    "gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n" + ZIPPED[:12],
}


def open_stream(api: Server, connections: Connections, idle_timeout: float = 120) -> HttpStream:
    return connections.open(Request("GET", f"{api.url}/"), TIMEOUT, idle_timeout)


@pytest.mark.parametrize(
    ("begin", "end"),
    [(HEAD + b"Content-Length: 6\r\n\r\ntea", b"cup"), (CHUNKED + b"3\r\ntea\r\n", b"3\r\ncup\r\n0\r\n\r\n")],
)
def test_a_stream_comes_as_it_is_sent_for_any_time(
    api: Server, connections: Connections, monkeypatch: pytest.MonkeyPatch, begin: bytes, end: bytes
) -> None:
    has_begun = threading.Event()

    def speak(exchange: Exchange) -> None:
        exchange.send(begin)
        has_begun.wait(120)
        exchange.send(end)

    api.inject(always(RequestFault(speak)))
    stream = open_stream(api, connections)
    assert next(stream.chunks) == b"tea"

    later = time.monotonic() + 1000
    monkeypatch.setattr("time.monotonic", lambda: later)
    has_begun.set()
    assert list(stream.chunks) == [b"cup"]


@pytest.mark.parametrize("text", CUT.values(), ids=CUT.keys())
def test_a_stream_that_stalls_or_is_cut_off_is_an_error(api: Server, connections: Connections, text: bytes) -> None:
    answer(api, [text], keeps=True)
    with pytest.raises(ConnectionFailedError, match=r"nothing came for 0\.2 s|not whole gzip") as caught:
        list(open_stream(api, connections, 0.2).chunks)
    assert caught.value.may_have_arrived

    answer(api, [text])
    with pytest.raises(ConnectionFailedError, match=r"closed too early|ProtocolError|not whole gzip"):
        list(open_stream(api, connections).chunks)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_stream_of_any_size_takes_little_memory(api: Server, connections: Connections, is_compressed: bool) -> None:
    size = 16 * 1024 * 1024
    content = gzip.compress(bytes(size), 1) if is_compressed else bytes(size)
    encoding = b"Content-Encoding: gzip\r\n" if is_compressed else b""
    answer(api, [HEAD + encoding + b"Content-Length: %d\r\n\r\n" % len(content), content])
    stream = open_stream(api, connections)
    tracemalloc.start()
    try:
        assert sum(map(len, stream.chunks)) == size
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_the_connection_of_a_stream_is_kept_once_all_of_it_is_read(api: Server, connections: Connections) -> None:
    peers = []

    def speak(exchange: Exchange) -> None:
        peers.append(exchange.connection.getpeername())
        exchange.send(HEAD + TWO)

    api.inject(always(RequestFault(speak)))
    for _ in range(2):
        stream = open_stream(api, connections)
        assert list(stream.chunks) == [b"hi"]
        stream.close()
    open_stream(api, connections).close()
    assert send(api, connections).body == b"hi"

    assert peers[0] == peers[1] == peers[2]
    assert peers[3] != peers[2], "the rest of the one before is nobody's response"


# --- What they mean ---------------------------------------------------------------------------------------------------

bodies = (
    st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: json.dumps(text).encode())
    | st.sampled_from(
        [
            *(b'"\\ud83d"', b'"\\udc00"', b'"\xed\xa0\xbd"', b'{"\\ud800": 1}', b"NaN", b"[1e999]", b"-Infinity"),
            *('"\\ud83d"'.encode("utf-16-le"), '"☕"'.encode("utf-16"), "1".encode("utf-32"), b"\xff\xfe"),
            *(b"+2AA-", b"\\ud800", b"", b"null", b"\xef\xbb\xbf{}", b"\0", b"xn--a", b'{"a":1,"a":2}', b"[" * 9_000),
            *(b"1e-999999999999", b"1" * 5_000),
        ]
    )
)
charsets = st.sampled_from(
    [
        *("utf-8", "utf-7", "utf-16", "latin-1", "unicode_escape", "raw_unicode_escape", "idna", "punycode", "rot13"),
        *("base64", "undefined", "none", "", "%00", "utf-8\0", "utf-32-be", "cp037", "\x01", "mbcs", "utf_8_sig"),
    ]
)
types = st.sampled_from(
    [
        *("application/json", "application/x+json", "text/plain", "text/plain; charset", "text/", "image/png"),
        *("a", "a/b/c", ""),
    ]
)
latin = st.characters(codec="latin-1")
content_types = (
    types
    | st.builds("{}; charset={}".format, types, charsets)
    | st.builds("{}; charset*={}''%ff".format, types, charsets)
    | st.text(string.printable, max_size=20)
    | st.just("text/a;" + '"' + ";" * 60_000)
)
http_responses = st.builds(
    HttpResponse,
    st.integers(100, 999) | st.sampled_from([200, 201, 204, 206, 299, 403, 409, 429]),
    st.fixed_dictionaries(
        {},
        optional={
            "content-type": content_types,
            "content-encoding": st.sampled_from(["", "br", "identity", "gzip, br"]),
            "x-amzn-requestid": st.text(latin, max_size=10) | st.just("x" * 60_000),
            "x-amzn-errortype": st.text(latin, max_size=10) | st.just("AccessDeniedException:"),
            "retry-after": st.text(latin, max_size=5) | st.sampled_from(["9" * 9_000, "-1", "0"]),
        },
    ),
    bodies,
)


@attack
@given(http_responses)
@example(HttpResponse(200, {"content-type": "application/json"}, '"\\ud83d"'.encode("utf-16-le")))
@example(HttpResponse(200, {"content-type": "application/json"}, b'"\\udc00"'))
@example(HttpResponse(200, {"content-type": "application/json"}, b'"\xed\xa0\xbd"'))
@example(HttpResponse(200, {"content-type": "text/plain; charset=utf-7"}, b"+2AA-"))
@example(HttpResponse(200, {"content-type": "text/plain; charset*=%00''%00"}, b"tea"))
@example(HttpResponse(200, {"content-type": "text/plain; charset*3=a; charset*=b"}, b"tea"))
@example(HttpResponse(500, {"x-amzn-requestid": "a\nb" * 9_000}, b""))
def test_any_response_is_one_that_can_be_handed_on_or_an_error(http: HttpResponse) -> None:
    start = time.process_time()
    result: Response | CallError
    try:
        result = read_response(http)
    except CallError as error:
        result = error
    assert time.process_time() - start < 30  # milliseconds; minutes if a pattern backtracks

    if isinstance(result, CallError):
        assert isinstance(result, InvalidResponseError) or not 200 <= http.status < 300
        assert (len(str(result)) < 3_000, str(result).isprintable()) == (True, True)
        return
    assert 200 <= http.status < 300
    assert result.content == http.body
    parsed = json.loads(json.dumps(result.as_json(), ensure_ascii=False, allow_nan=False).encode())
    assert parsed["status"] == http.status
    assert (result.body is None) <= (http.body in (b"", b"null") or b"null" in http.body.replace(b"\0", b""))
