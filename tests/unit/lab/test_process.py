from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cross_account_lab.process import drop_aws_variables, host_architecture, running, tail

ENVIRONMENT = {"PATH": os.defpath}


def test_a_command_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    script = "sleep 600 & sleep 600 & echo started; exec cat alive"
    # Each of them holds the writing end of the pipe open until it is gone.
    with running(
        ["sh", "-c", f"exec 9<>alive; {script}"], cwd=tmp_path, env=ENVIRONMENT, log=tmp_path / "log"
    ) as process:
        reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
        while "started" not in (tmp_path / "log").read_text():
            pass
        assert process.poll() is None

    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert process.returncode == -9


def test_a_command_is_killed_when_the_block_raises(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        running(["sleep", "600"], cwd=tmp_path, env=ENVIRONMENT, log=tmp_path / "log") as process,
    ):
        raise KeyboardInterrupt

    assert process.returncode == -9


def test_a_command_that_has_ended_is_left_alone(tmp_path: Path) -> None:
    with running(
        ["sh", "-c", "echo out; echo err >&2; exit 3"], cwd=tmp_path, env=ENVIRONMENT, log=tmp_path / "log"
    ) as it:
        assert it.wait() == 3

    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_standard_input_stays_open_for_the_block(tmp_path: Path) -> None:
    with running(["cat"], cwd=tmp_path, env=ENVIRONMENT, log=tmp_path / "log") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=120) == 0


def test_the_tail_is_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"1\n2\n\xff3\n")

    assert tail(log, lines=2) == "2\n\N{REPLACEMENT CHARACTER}3"


def test_only_aws_variables_are_dropped() -> None:
    environment = {"AWS_PROFILE": "mine", "AWS_": "", "PATH": "/bin", "MY_AWS_PROFILE": "mine", "aws": "x"}

    drop_aws_variables(environment)

    assert environment == {"PATH": "/bin", "MY_AWS_PROFILE": "mine", "aws": "x"}


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("arm64", "arm64"), ("aarch64", "arm64")],
)
def test_the_architecture_is_named_as_lambda_names_it(
    monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)

    assert host_architecture() == architecture
