import os
from contextlib import suppress
from pathlib import Path

import pytest

from cross_account_lab.process import drop_aws_variables, host_architecture, running, without_proxy

ENVIRONMENT = {"PATH": os.defpath}


def test_a_command_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    script = "sleep 600 & sleep 600 & echo started; exec cat alive"
    # Each of them holds the writing end of the pipe open until it is gone.
    with (
        suppress(KeyboardInterrupt),
        running(
            ["sh", "-c", f"exec 9<>alive; {script}"], cwd=tmp_path, env=ENVIRONMENT, log=tmp_path / "log"
        ) as process,
    ):
        reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
        while "started" not in (tmp_path / "log").read_text():
            pass
        assert process.poll() is None
        raise KeyboardInterrupt

    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert process.returncode == -9


def test_only_aws_variables_are_dropped() -> None:
    environment = {"AWS_PROFILE": "mine", "AWS_": "", "PATH": "/bin", "MY_AWS_PROFILE": "mine", "aws": "x"}

    drop_aws_variables(environment)

    assert environment == {"PATH": "/bin", "MY_AWS_PROFILE": "mine", "aws": "x"}


@pytest.mark.parametrize(
    ("own", "lower", "upper"),
    [
        ({}, "127.0.0.1", "127.0.0.1"),
        ({"no_proxy": "a.example"}, "127.0.0.1,a.example", "127.0.0.1,a.example"),
        ({"NO_PROXY": "a.example"}, "127.0.0.1,a.example", "127.0.0.1,a.example"),
        ({"no_proxy": "a", "NO_PROXY": "b,c"}, "127.0.0.1,a", "127.0.0.1,b,c"),
        ({"no_proxy": "*", "NO_PROXY": ""}, "*", "*"),
    ],
)
def test_hosts_without_a_proxy_stay_without(own: dict[str, str], lower: str, upper: str) -> None:
    assert without_proxy("127.0.0.1", own) == {"no_proxy": lower, "NO_PROXY": upper}


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("arm64", "arm64"), ("aarch64", "arm64")],
)
def test_the_architecture_is_named_as_lambda_names_it(
    monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)

    assert host_architecture() == architecture
