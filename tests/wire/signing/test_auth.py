"""`client.auth` of requests, httpx and httpx2, sync and async: every request that it lets pass is signed right."""

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import product
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
import requests

from cross_account_api import InvalidCallError, RedirectError
from cross_account_lab.judge.gateway import gateway_response
from cross_account_lab.judge.loopback import Exchange, RequestFault, Server, always
from cross_account_lab.judge.sigv4 import Request
from tests.wire.world import World

type Send = Callable[..., Any]

PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}
"""No CA certificates are read for connections without TLS, which takes longer than a call."""


def sender(library: ModuleType, *, is_async: bool) -> Send:
    def send(method: str, url: str, *, auth: object, follow_redirects: bool = False, **options: Any) -> Any:
        async def run() -> Any:
            async with library.AsyncClient(follow_redirects=follow_redirects, **PLAIN) as client:
                return await client.request(method, url, auth=auth, **options)

        if is_async:
            return asyncio.run(run())
        with library.Client(follow_redirects=follow_redirects, **PLAIN) as client:
            return client.request(method, url, auth=auth, **options)

    return send


def send_with_requests(
    method: str, url: str, *, auth: Any, follow_redirects: bool = False, content: object = None, **options: Any
) -> Any:
    options = {"data": content, "allow_redirects": follow_redirects, **options}
    return requests.request(method, url, auth=auth, timeout=120, **options)


SENDERS = {
    "httpx": sender(httpx, is_async=False),
    "httpx async": sender(httpx, is_async=True),
    "httpx2": sender(httpx2, is_async=False),
    "httpx2 async": sender(httpx2, is_async=True),
}
each_library = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@pytest.fixture(params=[*SENDERS, "requests"])
def send(request: pytest.FixtureRequest) -> Send:
    return SENDERS.get(request.param, send_with_requests)


@pytest.fixture
def elsewhere() -> Iterator[Server]:
    with Server(lambda _: gateway_response(200, {})) as server:
        yield server


PATHS = [
    *("", "/", "/a;b", "/a;b/c;d", "/a%3Bb", "/%2F", "/%2f", "/~", "/%7E", "/a+b", "/a%20b", "/a b", "/é", "/%C3%A9"),
    *("/a//b", "/./a", "/a/../b", "/:@,=$!&'()*", "/%25", "/%2520", "/[x]|^{}", "/%FF", "/a%2Bb", "/☕/"),
]
QUERIES = [
    *("?", "?q=a+b", "?q=a%2Bb", "?q=a%20b", "?q=a b", "?b=1&a=2", "?a=2&a=1", "?q", "?q=", "?=1", "?&&a=1", "?q=%2f"),
    *("?q=é", "?q=%", "?a=x/y?z", "?a=:@,$!'()*", "?q=[x]|^{}", "?q=~%7E", "?a=1#fragment", "?a=1;b=2"),
]


def test_odd_urls_are_signed_as_they_are_sent(send: Send, world: World) -> None:
    auth = world.client().auth
    for target in [*PATHS, *(f"/orders{query}" for query in QUERIES)]:
        assert send("GET", world.url + target, auth=auth).status_code == 200, (target, world.gateway.refused)


def test_a_query_arrives_as_it_was_given_also_where_a_plus_is_no_space(send: Send, world: World) -> None:
    send("GET", f"{world.url}/orders", params={"q": "a b+é☕"}, auth=world.client().auth)

    assert world.gateway.accepted[-1].target == "/v1/orders?q=a%20b%2B%C3%A9%E2%98%95"


SENT: list[dict[str, Any]] = [
    {"headers": {"X-Note": "it's 'x"}},
    {"headers": {"X-Note": b"x"}},
    {"content": b"\x00\xff"},
    {"content": "é"},
    {"json": {"sku": "é"}},
    {"data": {"a": "b c"}},
    {"files": {"file": b"\x00"}},
    {"headers": {"Date": "Wed, 21 Oct 2015 07:28:00 GMT"}},
    {"headers": {"X-Amz-Date": "20151021T072800Z"}},
]


def test_bodies_and_headers_are_signed(send: Send, world: World) -> None:
    auth = world.client().auth
    for options in SENT:
        assert send("PUT", world.url, auth=auth, **options).status_code == 200, options
    assert not any(request.values("date") for request in world.gateway.accepted)


async def parts() -> Any:
    yield b"x"


each_httpx, only_requests = tuple(SENDERS.values()), (send_with_requests,)


@pytest.mark.parametrize(
    ("senders", "options", "message"),
    [
        (each_httpx, {"content": (part for part in [b"x"])}, "content is a stream. Allowed: bytes, text"),
        (each_httpx, {"content": parts()}, "content is a stream. Allowed: bytes, text"),
        (only_requests, {"data": (part for part in [b"x"])}, "body is a Python generator. Allowed: bytes, text or a"),
        (only_requests, {"data": iter([b"x"])}, "body is a Python list_iterator."),
        (only_requests, {"data": "x", "headers": {"Content-Type": "a/b; charset=none"}}, "what cannot be signed."),
        (each_httpx + only_requests, {"headers": {"x-amz-meta": 'a "b c'}}, "request is what cannot be signed."),
    ],
)
def test_what_cannot_be_signed_is_refused(
    world: World, senders: tuple[Send, ...], options: dict[str, Any], message: str
) -> None:
    for send in senders:
        with pytest.raises(InvalidCallError, match=message):
            send("PUT", world.url, auth=world.client().auth, **options)
    assert world.api.requests == []


@pytest.mark.parametrize("body", [bytearray(b"tea"), io.BytesIO(b"tea"), io.StringIO("tea")])
def test_a_body_of_requests_may_be_a_file(world: World, body: object) -> None:
    assert send_with_requests("PUT", world.url, content=body, auth=world.client().auth).status_code == 200
    assert world.gateway.accepted[0].body == b"tea"


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_file_is_a_body_unless_reading_it_would_block(world: World, library: str) -> None:
    assert SENDERS[library]("PUT", world.url, content=io.BytesIO(b"x"), auth=world.client().auth).status_code == 200
    with pytest.raises(InvalidCallError, match=r"content is a file\. Allowed: bytes or text, for"):
        SENDERS[f"{library} async"]("PUT", world.url, content=io.BytesIO(b"x"), auth=world.client().auth)


def test_another_stage_is_refused(send: Send, world: World, elsewhere: Server) -> None:
    auth = world.client().auth
    elsewhere_at = [elsewhere.url + target for target in ("/v1", f"/?x={world.url}")]
    for url in (*(world.api.url + target for target in ("/v2", "/v1x", "/")), *elsewhere_at):
        with pytest.raises(InvalidCallError, match="url is"):
            send("GET", url, auth=auth)
    with pytest.raises(InvalidCallError, match="query in another encoding"):
        send("GET", f"{world.url}?q=%FF", auth=auth)
    assert world.api.requests == elsewhere.requests == []


def test_no_redirect_is_followed_with_the_session_token(send: Send, world: World, elsewhere: Server) -> None:
    auth = world.client().auth
    cases = list(product((301, 302, 303, 307, 308), (False, True), (f"{elsewhere.url}/v1", "/v1/other")))
    for status, follow, location in cases:
        world.gateway.answer = partial(
            lambda response, _: response, gateway_response(status, {}, {"Location": location})
        )
        with pytest.raises(RedirectError, match=str(status)):
            send("POST", world.url, auth=auth, follow_redirects=follow)
    assert elsewhere.requests == []
    assert [request.target for request in world.api.requests] == ["/v1"] * len(cases)


@each_library
def test_a_redirect_without_a_connection_is_refused_as_well(library: Any, world: World) -> None:
    def answer(request: Any) -> Any:
        return library.Response(302 if "next" not in str(request.url) else 200, headers={"Location": "/v1/next"})

    session = library.Client(transport=library.MockTransport(answer), **PLAIN, follow_redirects=True)
    with session, pytest.raises(RedirectError):
        session.get(world.url, auth=world.client().auth)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_the_caller_s_own_trace_is_kept(world: World, library: str) -> None:
    seen = []

    async def note(name: str, info: object) -> None:
        seen.append(name)

    def trace(name: str, info: object) -> None:
        seen.append(name)

    SENDERS[library]("GET", world.url, auth=world.client().auth, extensions={"trace": trace})
    expected = len(seen)
    SENDERS[f"{library} async"]("GET", world.url, auth=world.client().auth, extensions={"trace": note})

    assert expected > 0
    assert len(seen) == 2 * expected


def test_nothing_is_imported_that_is_not_there() -> None:
    code = "import cross_account_api, sys; print(sorted({'anyio', 'httpx', 'httpx2'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_order_of_imports_does_not_matter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    auth: Any = world.client().auth
    for module in (httpx, httpx2):
        monkeypatch.delitem(sys.modules, module.__name__)
    assert not isinstance(auth, httpx.Auth | httpx2.Auth)

    for module in (httpx, httpx2):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert [isinstance(auth, module.Auth) for module in (httpx, httpx2)] == [True, True]
    assert requests.get(world.url, auth=auth, timeout=60).status_code == 200


def transport(library: ModuleType, world: World) -> Any:
    """Return what hands requests over to the API without a connection."""

    async def answer(request: Any) -> Any:
        headers = tuple((name.lower(), value) for name, value in request.headers.items())
        received = Request(request.method, request.url.raw_path.decode(), headers, request.content)
        return library.Response(world.gateway(received).status)

    return library.MockTransport(answer)


async def call_at_once(library: ModuleType, world: World, tasks: int, *beside: Awaitable[None]) -> list[int]:
    client = world.assuming_client()
    async with library.AsyncClient(transport=transport(library, world), **PLAIN) as session:
        calls = (session.get(f"{world.url}/whoami", auth=client.auth) for _ in range(tasks))
        responses = await asyncio.gather(*calls, *beside)
    return [response.status_code for response in responses if response]


class HeldSts:
    """STS is held up until `go_on`."""

    def __init__(self, world: World) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()
        world.sts.inject(always(RequestFault(self._answer)))

    def _answer(self, exchange: Exchange) -> None:
        self.asked.set()
        self.go_on.wait(timeout=60)
        exchange.send_response(exchange.respond())


@each_library
def test_many_tasks_wait_for_one_session_and_all_others_go_on(world: World, library: ModuleType) -> None:
    held = HeldSts(world)

    async def beside() -> None:
        while not held.asked.is_set():
            await asyncio.sleep(0.01)
        held.go_on.set()  # a loop that waits for STS would never come here

    assert asyncio.run(call_at_once(library, world, 300, beside())) == [200] * 300
    assert len(world.sessions.names) == 1


@each_library
def test_a_task_that_is_cancelled_does_not_wait_for_sts(world: World, library: ModuleType) -> None:
    held = HeldSts(world)

    async def give_up() -> list[int]:
        waiting = asyncio.ensure_future(call_at_once(library, world, 3))
        await asyncio.to_thread(held.asked.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        held.go_on.set()
        return await call_at_once(library, world, 3)

    assert asyncio.run(give_up()) == [200] * 3
