"""The benchmarks: real signatures, turns, ratios within a turn."""

from collections.abc import Iterator
from functools import partial

import pytest
import requests
from requests_aws4auth import AWS4Auth

from benchmarks.measure import Row, interleave
from benchmarks.peers import PEERS, in_process
from benchmarks.server import ACCESS_KEY, SECRET_KEY, TOKEN, Server, running
from cross_account_lab.judge.sts import REGION


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.parametrize("name", PEERS)
def test_every_client_signs_correctly(name: str, server: Server) -> None:
    assert in_process(server, name, 3, "/verified", 2).keys() == {"s", "ms"}


def test_the_server_refuses_requests_changed_after_signing(server: Server) -> None:
    class Tampering(requests.Session):
        def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:
            request.url = f"{request.url}?more"
            return super().send(request, **kwargs)  # type: ignore[arg-type]

    auth = AWS4Auth(ACCESS_KEY, SECRET_KEY, REGION, "execute-api", session_token=TOKEN)
    with Tampering() as session:
        assert (
            session.get(f"{server.api_url}/verified", auth=auth, timeout=120, verify=str(server.ca_bundle)).status_code
            == 403
        )


def test_measurements_take_turns_and_none_is_always_first() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    values = interleave({name: partial(measure, name) for name in "abc"}, turns=3)
    assert "".join(order) == "abcbcacab"
    assert values == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_is_the_median_of_the_ratios_within_each_turn() -> None:
    missed, figure = Row("a", "b", "ms", [1, 20, 3], [1, 10, 1], 1.5), Row("c", "", "MiB", [3])
    assert str(missed) == "| a | 3 ms | b | 1 | 2 | 1.50 to 2.50 | ≤ 1.5 missed |"
    assert str(figure) == "| c | 3 MiB |  |  |  |  |  |"
    assert Row("a", "b", "ms", [3], [2], 1.5).reached is True
    assert figure.reached is None
