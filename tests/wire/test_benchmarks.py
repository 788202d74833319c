"""The benchmarks: real signatures, turns, ratios within a turn, every target in the chart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from xml.etree import ElementTree

import pytest
import requests
from requests_aws4auth import AWS4Auth

from benchmarks.baselines.warm import unsigned
from benchmarks.measure import Row, interleave
from benchmarks.plot import draw
from benchmarks.server import ACCESS_KEY, SECRET_KEY, TOKEN, Server, running
from benchmarks.warm import CLIENTS
from cross_account_lab.judge.sts import REGION

# Connections stay open as long as the process lives, as in Lambda. The other warning is awscurl's own.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore:datetime.datetime.utcnow:DeprecationWarning"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(autouse=True)
def _environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", sorted(CLIENTS.keys() - {"unsigned"}))
def test_every_client_signs_correctly(name: str, server: Server) -> None:
    status, body = CLIENTS[name](server, "/verified")()
    assert (status, type(body)) == (200, dict)


def test_the_server_refuses_unsigned_requests(server: Server) -> None:
    assert unsigned(server, "/verified")()[0] == 403
    assert unsigned(server, "/whoami")()[0] == 200


def test_the_server_refuses_requests_changed_after_signing(server: Server) -> None:
    class Tampering(requests.Session):
        def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:
            request.url = f"{request.url}?more"
            return super().send(request, **kwargs)  # type: ignore[arg-type]

    auth = AWS4Auth(ACCESS_KEY, SECRET_KEY, REGION, "execute-api", session_token=TOKEN)
    with Tampering() as session:
        assert session.get(f"{server.api_url}/verified", auth=auth, timeout=120).status_code == 403


def test_a_session_is_requested_once_and_counted(server: Server) -> None:
    server.count()
    call = CLIENTS["ours"](server, "/whoami")
    for _ in range(3):
        call()
    assert server.count() == {"AssumeRole": 1, "call": 3}


def test_measurements_take_turns_and_none_is_always_first() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    values = interleave({name: partial(measure, name) for name in "abc"}, turns=3)
    assert "".join(order) == "abcbcacab"
    assert values == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_is_the_median_of_the_ratios_within_each_turn() -> None:
    row = Row("what", "against", "ms", ours=[1, 20, 3], theirs=[1, 10, 1], target=1.5)
    assert row.ratio == 2
    assert row.spread == (1.5, 2.5)
    assert row.reached is False
    assert Row("what", "against", "ms", [3], [2], 1.5).reached is True
    assert Row("what", "against", "ms", [3], [2]).reached is None


def test_the_chart_shows_every_row_with_a_target() -> None:
    rows = [Row("a & b", "<c>", "ms", [1], [2], 0.6), Row("d", "e", "ms", [3], [2], 1.0), Row("f", "g", "ms", [1], [1])]
    picture = ElementTree.fromstring(draw(rows))  # noqa: S314
    namespace = "{http://www.w3.org/2000/svg}"
    dots = picture.findall(f"{namespace}circle")
    assert [dot.get("class") for dot in dots] == ["dot", "missed"]
    assert float(dots[0].get("cx", "")) < float(dots[1].get("cx", ""))
    texts = ["".join(text.itertext()) for text in picture.findall(f"{namespace}text")]
    assert "a & b / <c>" in texts
    assert not any("f / g" in text for text in texts)
