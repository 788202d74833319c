"""`client.auth` of httpx and httpx2, sync and async: every request that it lets pass is signed right."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
import requests
import time_machine

from cross_account_api import Client, InvalidCallError, RedirectError
from cross_account_lab.judge.gateway import Gateway, gateway_response
from cross_account_lab.judge.loopback import Response, Server
from cross_account_lab.judge.sigv4 import Credentials, Request
from cross_account_lab.judge.sts import CALLER_ENVIRONMENT, EXTERNAL_ID, REGION, Sts
from tests.wire.signing.apis import FixedCredentials

type Send = Callable[..., Any]

KEY = ("AKIDEXAMPLE", "secret", "token")
PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}
"""No CA certificates are read for connections without TLS, which takes longer than a call."""

ROLE_ARN = "arn:aws:iam::111111111111:role/executor"


def sync_sender(library: ModuleType) -> Send:
    def send(method: str, url: str, *, auth: object, follow_redirects: bool = False, **options: Any) -> Any:
        extensions = options.pop("extensions", {})
        with library.Client(follow_redirects=follow_redirects, **PLAIN) as client:
            return client.request(method, url, auth=auth, extensions=extensions, **options)

    return send


def async_sender(library: ModuleType) -> Send:
    def send(method: str, url: str, *, auth: object, follow_redirects: bool = False, **options: Any) -> Any:
        async def run() -> Any:
            async with library.AsyncClient(follow_redirects=follow_redirects, **PLAIN) as client:
                return await client.request(method, url, auth=auth, **options)

        return asyncio.run(run())

    return send


SENDERS = {
    "httpx": sync_sender(httpx),
    "httpx async": async_sender(httpx),
    "httpx2": sync_sender(httpx2),
    "httpx2 async": async_sender(httpx2),
}


@pytest.fixture(params=list(SENDERS))
def send(request: pytest.FixtureRequest) -> Send:
    return SENDERS[request.param]


@dataclass
class Api:
    """The API on loopback, another host, and what both received."""

    gateway: Gateway
    server: Server
    elsewhere: Server
    answer: Response = field(default_factory=lambda: gateway_response(200, {}))

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1"

    @property
    def client(self) -> Client:
        return Client(self.url, region=REGION, credentials=FixedCredentials(*KEY))


@pytest.fixture
def api() -> Iterator[Api]:
    answering: list[Api] = []
    gateway = Gateway({}, lambda *_: answering[0].answer)
    gateway.keys[KEY[0]] = Credentials(*KEY[1:])
    with Server(gateway) as server, Server(lambda _: gateway_response(200, {})) as elsewhere:
        gateway.regions[f"127.0.0.1:{server.port}"] = REGION
        answering.append(Api(gateway, server, elsewhere))
        yield answering[0]


PATHS = [
    *("", "/", "/a;b", "/a;b/c;d", "/a%3Bb", "/%2F", "/%2f", "/~", "/%7E", "/a+b", "/a%20b", "/a b", "/é", "/%C3%A9"),
    *("/a//b", "/./a", "/a/../b", "/:@,=$!&'()*", "/%25", "/%2520", "/[x]|^{}", "/%FF", "/a%2Bb", "/☕/"),
]
QUERIES = [
    *(
        "?",
        "?q=a+b",
        "?q=a%2Bb",
        "?q=a%20b",
        "?q=a b",
        "?b=1&a=2",
        "?a=2&a=1",
        "?q",
        "?q=",
        "?=1",
        "?&&a=1",
        "?a=1;b=2",
    ),
    *("?q=%2f", "?q=é", "?q=%", "?a=x/y?z", "?a=:@,$!'()*", "?q=[x]|^{}", "?q=~%7E", "?a=1#fragment", "?a=1;b=2"),
]


def test_odd_urls_are_signed_as_they_are_sent(send: Send, api: Api) -> None:
    for target in [*PATHS, *(f"/orders{query}" for query in QUERIES)]:
        response = send("GET", api.url + target, auth=api.client.auth)
        assert response.status_code == 200, (target, api.gateway.refusals)


@pytest.mark.parametrize(("given", "sent"), [("a b", "a%20b"), ("a+b", "a%2Bb"), ("é☕", "%C3%A9%E2%98%95")])
def test_a_query_arrives_as_it_was_given_also_where_a_plus_is_no_space(
    send: Send, api: Api, given: str, sent: str
) -> None:
    send("GET", f"{api.url}/orders", params={"q": given}, auth=api.client.auth)

    assert api.gateway.received[-1].target == f"/v1/orders?q={sent}"


@pytest.mark.parametrize(
    "options",
    [
        {"content": b"\x00\xff"},
        {"content": "é"},
        {"json": {"sku": "é"}},
        {"data": {"a": "b c"}},
        {"files": {"file": b"\x00"}},
        {"headers": {"Date": "Wed, 21 Oct 2015 07:28:00 GMT"}},
        {"headers": {"X-Amz-Date": "20151021T072800Z"}},
        {"headers": {"X-Note": "it's 'x"}},
    ],
)
def test_bodies_and_headers_are_signed(send: Send, api: Api, options: dict[str, Any]) -> None:
    assert send("PUT", api.url, auth=api.client.auth, **options).status_code == 200
    [request] = api.gateway.received
    assert request.values("date") == []


async def parts() -> Any:
    yield b"x"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"content": (part for part in [b"x"])}, "content is a stream. Allowed: bytes, text"),
        ({"content": parts()}, "content is a stream. Allowed: bytes, text"),
        ({"headers": {"x-amz-meta": 'a "b c'}}, "request is what cannot be signed."),
    ],
)
def test_what_cannot_be_signed_is_refused(api: Api, options: dict[str, Any], message: str) -> None:
    for send in SENDERS.values():
        with pytest.raises(InvalidCallError, match=message):
            send("PUT", api.url, auth=api.client.auth, **options)
    assert api.server.requests == []


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_file_is_a_body_unless_reading_it_would_block(api: Api, library: str) -> None:
    assert SENDERS[library]("PUT", api.url, content=io.BytesIO(b"x"), auth=api.client.auth).status_code == 200
    with pytest.raises(InvalidCallError, match=r"content is a file\. Allowed: bytes or text, for"):
        SENDERS[f"{library} async"]("PUT", api.url, content=io.BytesIO(b"x"), auth=api.client.auth)


@pytest.mark.parametrize("target", ["/v2", "/v1x", "/"])
def test_another_stage_is_refused(send: Send, api: Api, target: str) -> None:
    with pytest.raises(InvalidCallError, match="url is"):
        send("GET", api.server.url + target, auth=api.client.auth)
    with pytest.raises(InvalidCallError, match="url is"):
        send("GET", f"{api.elsewhere.url}/v1", auth=api.client.auth)
    with pytest.raises(InvalidCallError, match="query in another encoding"):
        send("GET", f"{api.url}?q=%FF", auth=api.client.auth)
    assert api.server.requests == api.elsewhere.requests == []


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_with_the_session_token(send: Send, api: Api, status: int, follow: bool) -> None:
    for target in (f"{api.elsewhere.url}/v1", "/v1/other"):
        api.answer = gateway_response(status, {}, {"Location": target})
        with pytest.raises(RedirectError, match=str(status)):
            send("POST", api.url, auth=api.client.auth, follow_redirects=follow)
    assert api.elsewhere.requests == []
    assert [request.target for request in api.server.requests] == ["/v1", "/v1"]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_redirect_without_a_connection_is_refused_as_well(library: Any) -> None:
    def answer(request: Any) -> Any:
        return library.Response(302 if "next" not in str(request.url) else 200, headers={"Location": "/v1/next"})

    client = Client("http://localhost/v1", region=REGION, credentials=FixedCredentials(*KEY))
    session = library.Client(transport=library.MockTransport(answer), **PLAIN, follow_redirects=True)
    with session, pytest.raises(RedirectError):
        session.get("http://localhost/v1", auth=client.auth)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_the_caller_s_own_trace_is_kept(api: Api, library: str) -> None:
    seen = []

    async def note(name: str, info: object) -> None:
        seen.append(name)

    def trace(name: str, info: object) -> None:
        seen.append(name)

    SENDERS[library]("GET", api.url, auth=api.client.auth, extensions={"trace": trace})
    expected = len(seen)
    SENDERS[f"{library} async"]("GET", api.url, auth=api.client.auth, extensions={"trace": note})

    assert expected > 0
    assert len(seen) == 2 * expected


def test_nothing_is_imported_that_is_not_there() -> None:
    code = "import cross_account_api, sys; print(sorted({'anyio', 'httpx', 'httpx2'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_order_of_imports_does_not_matter(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    auth: Any = api.client.auth
    for module in (httpx, httpx2):
        monkeypatch.delitem(sys.modules, module.__name__)
    assert not isinstance(auth, httpx.Auth | httpx2.Auth)

    for module in (httpx, httpx2):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert [isinstance(auth, module.Auth) for module in (httpx, httpx2)] == [True, True]
    assert requests.get(api.url, auth=auth, timeout=60).status_code == 200


@dataclass
class Accounts:
    """The API in memory and STS on loopback, which can be held up."""

    gateway: Gateway
    sts: Sts
    asked: threading.Event
    go_on: threading.Event

    def transport(self, library: ModuleType) -> Any:
        async def answer(request: Any) -> Any:
            headers = tuple((name.lower(), value) for name, value in request.headers.items())
            received = Request(request.method, request.url.raw_path.decode(), headers, request.content)
            return library.Response(self.gateway(received).status)

        return library.MockTransport(answer)

    def client(self) -> Client:
        return Client("http://localhost/v1", role_arn=ROLE_ARN, external_id=EXTERNAL_ID, session_name="222222222222-x")

    async def call_at_once(self, library: ModuleType, tasks: int, *beside: Awaitable[None]) -> list[int]:
        client = self.client()
        async with library.AsyncClient(transport=self.transport(library), **PLAIN) as session:
            calls = (session.get("http://localhost/v1/whoami", auth=client.auth) for _ in range(tasks))
            responses = await asyncio.gather(*calls, *beside)
        return [response.status_code for response in responses if response]


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    gateway = Gateway({"localhost": REGION})
    held = Accounts(gateway, Sts(gateway.keys), threading.Event(), threading.Event())

    def answer(request: Request) -> Response:
        held.asked.set()
        held.go_on.wait(timeout=60)
        return held.sts(request)

    with ExitStack() as stack:
        server = stack.enter_context(Server(answer))
        for name, value in (CALLER_ENVIRONMENT | {"AWS_ENDPOINT_URL_STS": server.url, "NO_PROXY": "*"}).items():
            monkeypatch.setenv(name, value)
        yield held


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_thousand_tasks_wait_for_one_session_and_all_others_go_on(accounts: Accounts, library: ModuleType) -> None:
    async def beside() -> None:
        while not accounts.asked.is_set():
            await asyncio.sleep(0.01)
        accounts.go_on.set()  # a loop that waits for STS would never come here

    statuses = asyncio.run(accounts.call_at_once(library, 1000, beside()))

    assert statuses == [200] * 1000
    assert len(accounts.sts.names) == 1


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_task_that_is_cancelled_does_not_wait_for_sts(accounts: Accounts, library: ModuleType) -> None:
    async def give_up() -> list[int]:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(accounts.call_at_once(library, 3), 0.01)
        accounts.go_on.set()
        return await accounts.call_at_once(library, 3)

    assert asyncio.run(give_up()) == [200] * 3


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_sessions_that_are_renewed_all_the_time(accounts: Accounts, library: ModuleType) -> None:
    accounts.go_on.set()
    # botocore refreshes a session in its last 15 minutes.
    accounts.sts.lifetime = timedelta(minutes=15, seconds=-1)

    client = accounts.client()

    async def call() -> None:
        async with library.AsyncClient(transport=accounts.transport(library), **PLAIN) as session:
            for _ in range(20):
                await session.get("http://localhost/v1", auth=client.auth)

    asyncio.run(call())

    assert accounts.gateway.verdicts == {"accepted": 20}, accounts.gateway.refusals
    assert len(accounts.gateway.uses) == len(accounts.sts.names) == 20


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_midnight(accounts: Accounts, library: ModuleType) -> None:
    accounts.gateway.keys[KEY[0]] = Credentials(*KEY[1:])
    client = Client("http://localhost/v1", region=REGION, credentials=FixedCredentials(*KEY))
    with time_machine.travel("2027-12-31T23:59:59.500Z", tick=False) as clock:

        async def call_until_next_year() -> None:
            async with library.AsyncClient(transport=accounts.transport(library), **PLAIN) as session:
                for _ in range(100):
                    await session.get("http://localhost/v1", auth=client.auth)
                    clock.shift(0.01)

        asyncio.run(call_until_next_year())

    assert accounts.gateway.verdicts == {"accepted": 100}, accounts.gateway.refusals
    assert accounts.gateway.days.keys() == {"20271231", "20280101"}
