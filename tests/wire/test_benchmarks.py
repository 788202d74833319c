"""The benchmarks: real signatures, ratios within a turn."""

from collections.abc import Iterator

import pytest

from benchmarks.measure import Row
from benchmarks.peers import PEERS, in_process
from benchmarks.server import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.parametrize("name", PEERS)
def test_every_client_signs_correctly(name: str, server: Server) -> None:
    assert in_process(server, name, 3, "/verified", 2).keys() == {"s", "ms"}


def test_a_ratio_is_the_median_of_the_ratios_within_each_turn() -> None:
    missed, figure = Row("a", "b", "ms", [1, 20, 3], [1, 10, 1], 1.5), Row("c", "", "MiB", [3])
    assert str(missed) == "| a | 3 ms | b | 1 | 2 | 1.50 to 2.50 | ≤ 1.5 missed |"
    assert str(figure) == "| c | 3 MiB |  |  |  |  |  |"
    assert Row("a", "b", "ms", [3], [2], 1.5).reached is True
    assert figure.reached is None
