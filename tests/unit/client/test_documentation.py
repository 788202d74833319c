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


class Answering(requests.adapters.BaseAdapter):
    """Keeps the requests of a session, and answers each."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        self.sent.append(request)
        response = requests.Response()
        response.status_code, response.request, response.url = 200, request, str(request.url)
        return response

    def close(self) -> None:
        pass


def test_the_examples_run(
    fake_api: FakeApi, sts: FakeSts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cross_account_api.client.Connections", lambda *_, **__: fake_api)
    answering = Answering()
    monkeypatch.setattr(requests.Session, "get_adapter", lambda *_, **__: answering)
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
    names: dict[str, Any] = {"client_url": API_URL}

    for code in re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S):
        exec(code, names)  # noqa: S102 - the project's own documentation

    assert names["order"] == {"order_id": "1"}
    assert capsys.readouterr().out.startswith("200 application/json 1 ")
    assert [request.url.removeprefix(API_URL) for request in fake_api.requests] == [
        "/orders",
        "/orders?limit=10&status=new&status=paid",
        "/export",
        "/orders/7",
        "/reports",
    ]
    [request] = answering.sent
    assert request.url == f"{API_URL}/orders?q=a%20b"
    assert [str(each.url) for each in asked] == [f"{API_URL}/orders/1", f"{API_URL}/orders/2"]
    for headers in (request.headers, *(each.headers for each in asked)):
        assert "AWS4-HMAC-SHA256" in headers["Authorization"]


def test_the_example_in_the_readme_runs(fake_api: FakeApi, sts: FakeSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cross_account_api.client.Connections", lambda *_, **__: fake_api)
    answering = Answering()
    monkeypatch.setattr(requests.Session, "get_adapter", lambda *_, **__: answering)
    fake_api.script = [json_reply(201, {"order_id": "1"})]
    [code] = re.findall(r"^```python\n(.*?)^```$", (PROJECT / "README.md").read_text(), re.M | re.S)
    names: dict[str, Any] = {}

    exec(code, names)  # noqa: S102 - the project's own documentation

    assert names["order"] == {"order_id": "1"}
    [request] = answering.sent
    assert (request.url, names["response"].status_code) == (f"{API_URL}/whoami", 200)
    assert "AWS4-HMAC-SHA256" in request.headers["Authorization"]


def test_every_public_name_is_described() -> None:
    names = [name for name, value in vars(cross_account_api).items() if isinstance(value, type)]

    assert len(names) > 20
    assert [name for name in names if not re.search(rf"\b{name}\b", TEXT)] == []
    assert [name for name in vars(CallError("", "")) if name[0] != "_" and name not in TEXT] == []
