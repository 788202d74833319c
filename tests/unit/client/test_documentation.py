"""The examples in README.md and docs/client.md run as they are written there, and the page leaves out no name."""

import re
from typing import Any

import httpx2
import pytest
import requests
from botocore.credentials import ReadOnlyCredentials

import cross_account_api
from cross_account_access.templates import PROJECT
from cross_account_api import CallError
from tests.support.fakes import API_URL, FakeApi, FakeSts, Reply, json_reply

TEXT = (PROJECT / "docs/client.md").read_text()


type Sent = list[requests.PreparedRequest]


@pytest.fixture
def sent(fake_api: FakeApi, sts: FakeSts, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What sessions of `requests` send; each request is answered with 200, and clients call `fake_api`."""
    sent: Sent = []

    def send(self: requests.Session, request: requests.PreparedRequest, **_: object) -> requests.Response:
        sent.append(request)
        response = requests.Response()
        response.status_code = 200
        return response

    monkeypatch.setattr(requests.Session, "send", send)
    monkeypatch.setattr("cross_account_api.client.Connections", lambda *_, **__: fake_api)
    return sent


def run_examples(text: str, **names: Any) -> dict[str, Any]:
    """Run a page's examples one after the other; return what they have defined."""
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
        exec(code, names)  # noqa: S102 - the project's own documentation
    return names


def test_the_examples_run(
    fake_api: FakeApi, sent: Sent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    async def handle(_: object, request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", handle)
    fake_api.sessions[None] = ReadOnlyCredentials("testing", "testing", None)
    fake_api.script = [
        json_reply(201, {"order_id": "1"}),
        json_reply(200, {"orders": []}),
        Reply(200, b"a,b"),
        Reply(404),
    ]

    names = run_examples(TEXT, client_url=API_URL)

    assert names["order"] == {"order_id": "1"}
    assert capsys.readouterr().out.startswith("200 application/json 1 ")
    assert [request.url.removeprefix(API_URL) for request in fake_api.requests] == [
        "/orders",
        "/orders?limit=10&status=new&status=paid",
        "/export",
        "/orders/7",
        "/reports",
    ]
    [request] = sent
    assert request.url == f"{API_URL}/orders?q=a%20b"
    assert [str(each.url) for each in asked] == [f"{API_URL}/orders/1", f"{API_URL}/orders/2"]
    for headers in (request.headers, *(each.headers for each in asked)):
        assert "AWS4-HMAC-SHA256" in headers["Authorization"]


def test_the_example_in_the_readme_runs(fake_api: FakeApi, sent: Sent) -> None:
    fake_api.script = [json_reply(201, {"order_id": "1"})]

    names = run_examples((PROJECT / "README.md").read_text())

    assert names["order"] == {"order_id": "1"}
    [request] = sent
    assert (request.url, names["response"].status_code) == (f"{API_URL}/whoami", 200)
    assert "AWS4-HMAC-SHA256" in request.headers["Authorization"]


def test_every_public_name_is_described() -> None:
    names = [name for name, value in vars(cross_account_api).items() if isinstance(value, type)]

    assert len(names) > 20
    assert [name for name in names if not re.search(rf"\b{name}\b", TEXT)] == []
    assert [name for name in vars(CallError("", "")) if name[0] != "_" and name not in TEXT] == []
