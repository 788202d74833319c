"""The benchmarks: real signatures, ratios within a turn."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.server import running
from cross_account_access.project import PROJECT

EVERY_PEER = """
from benchmarks.peers import PEERS, main
for name in PEERS:
    print("", name, end=": ", flush=True)
    main(name, 3, "/verified", 2)
"""


def test_every_client_signs_correctly(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        subprocess.run(
            [sys.executable, "-c", EVERY_PEER], cwd=PROJECT, env=os.environ | server.environment(), check=True
        )


def test_a_ratio_is_the_median_of_the_ratios_within_each_turn() -> None:
    missed, figure = Row("a", "b", "ms", [1, 20, 3], [1, 10, 1], 1.5), Row("c", "", "MiB", [3])
    assert str(missed) == "| a | 3 ms | b | 1 | 2 | 1.50 to 2.50 | ≤ 1.5 missed |"
    assert str(figure) == "| c | 3 MiB |  |  |  |  |  |"
    assert Row("a", "b", "ms", [3], [2], 1.5).reached is True
    assert figure.reached is None
