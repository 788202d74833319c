"""`python -m lab demo` and `python -m lab`, as a person runs them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from access.templates import PROJECT

TELLS_AWS_TO_BE_ELSEWHERE = {"AWS_PROFILE": "of-my-own", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


@contextmanager
def lab_command(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m lab` with all its files in a folder, and see that it leaves none there."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "lab", *arguments],
        cwd=PROJECT,
        env=os.environ | TELLS_AWS_TO_BE_ELSEWHERE | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
    assert list(folder.iterdir()) == []


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout
    read = ""
    for line in process.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} is missing in:\n{read}")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_the_demo_fits_a_screen_and_is_as_expected(folder: Path) -> None:
    with lab_command(folder, "demo") as demo:
        output, _ = demo.communicate(timeout=240)

    assert demo.returncode == 0, output
    assert "50 of 50 as expected" in output
    assert re.search(r"finds\n  order [0-9a-f-]{36}, 3 of earl-grey, accepted at ", output)
    assert len(output.splitlines()) <= 50
    assert max(map(len, output.splitlines())) <= 100
    assert "\x1b" not in output


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_can_be_stopped_while_it_builds(folder: Path, stop: signal.Signals) -> None:
    with lab_command(folder, "demo") as demo:
        read_until(demo, "start the emulator")
        demo.send_signal(stop)
        output, _ = demo.communicate(timeout=60)

    assert demo.returncode == 130, output


def test_what_the_lab_prints_works_when_pasted(folder: Path, tmp_path: Path) -> None:
    with lab_command(folder) as lab:
        guide = read_until(lab, "call-api")
        commands = [line.strip() for line in guide.splitlines() if line.startswith("  ")]
        exports = [line for line in commands if line.startswith("export ")]
        tries = [line for line in commands if line not in exports]
        assert [line.split()[0] for line in tries] in (
            ["sam", "aws", "call-api"],
            ["sam", "AWS_PROFILE=account-b", "call-api"],
        )
        until_done = f"until {tries[-1]} | grep oolong; do sleep 1; done"
        pasted = "\n".join(["set -eu", *exports, *tries, until_done])
        terminal = subprocess.run(
            ["bash", "-c", pasted],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SAM_CLI_TELEMETRY": "0"},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        lab.send_signal(signal.SIGINT)
        rest, _ = lab.communicate(timeout=60)

    assert terminal.returncode == 0, terminal.stdout + terminal.stderr
    assert '"session_name": "222222222222-orders-caller"' in terminal.stdout
    assert '"oolong"' in terminal.stdout
    assert lab.returncode == 0
    assert rest.endswith("Stopped.\n")


def test_a_lab_that_cannot_start_says_why(folder: Path, tmp_path: Path) -> None:
    """The project elsewhere, without the emulator's environment."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for module in (PROJECT / "lab").glob("*.py"):
        (copy / "lab").mkdir(exist_ok=True)
        (copy / "lab" / module.name).write_text(module.read_text())

    answer = subprocess.run(
        [sys.executable, "-m", "lab"],
        cwd=copy,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == 1
    assert "run `make setup`" in answer.stdout
