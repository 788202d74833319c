"""The emulator starts or reports why it did not, and leaves nothing behind, however its parent process ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cross_account_lab.emulator import EmulatorError, emulator
from tests.support.waiting import eventually

START = """
import signal, sys, time
from pathlib import Path
from urllib.parse import urlsplit
from cross_account_lab.emulator import emulator

# A shell starts background jobs, such as this test, with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
with emulator(Path(sys.argv[1]), api_account="111111111111") as endpoint:
    print(endpoint, flush=True)
    time.sleep(600)
"""


def answers(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=600):
            return True
    except ConnectionError:
        return False


def program(folder: Path, script: str) -> Path:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "lab"
    path.mkdir()
    return path


def test_two_run_side_by_side_and_end_with_their_blocks(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with emulator(tmp_path / "one", api_account="111111111111") as one:
        with emulator(tmp_path / "two", api_account="111111111111") as two:
            assert one != two
            assert answers(one)
            assert answers(two)
        assert answers(one)
        assert not answers(two)
    assert not answers(one)


def test_it_listens_on_loopback_only(folder: Path) -> None:
    with emulator(folder, api_account="111111111111") as endpoint:
        port = endpoint.rpartition(":")[2]
        listening = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True)

    assert [line.split()[3] for line in listening.stdout.splitlines()] == [f"127.0.0.1:{port}"]


def test_it_ends_when_the_block_raises(folder: Path) -> None:
    class SomethingElseError(Exception):
        pass

    endpoint = ""
    try:
        with emulator(folder, api_account="111111111111") as endpoint:
            raise SomethingElseError
    except SomethingElseError:
        assert not answers(endpoint)
    assert endpoint


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_the_process_that_started_it(folder: Path, stop: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as starter:
        try:
            assert starter.stdout
            endpoint = starter.stdout.readline().strip()
            assert answers(endpoint)
            starter.send_signal(stop)
            starter.wait(timeout=600)
        finally:
            starter.kill()

    assert eventually(lambda: not answers(endpoint))
    if stop != signal.SIGINT:
        assert eventually(lambda: not folder.exists())


def test_a_missing_program_says_what_to_do(folder: Path) -> None:
    with (
        pytest.raises(EmulatorError, match="run `make setup`"),
        emulator(folder, api_account="111111111111", program=folder / "nothing"),
    ):
        pass


def test_an_emulator_that_ends_at_once_says_why(folder: Path, tmp_path: Path) -> None:
    broken = program(tmp_path, "echo port taken >&2; exit 1")

    with (
        pytest.raises(EmulatorError, match=r"ended while it started:\nport taken"),
        emulator(folder, api_account="111111111111", program=broken),
    ):
        pass


def test_waiting_for_an_emulator_is_bounded(folder: Path, tmp_path: Path) -> None:
    stuck = program(tmp_path, f"echo $$ > {tmp_path}/pid; echo thinking; exec sleep 600")

    with (
        pytest.raises(EmulatorError, match=r"not ready within 10 s:\nthinking"),
        emulator(folder, api_account="111111111111", program=stuck, ready_seconds=10),
    ):
        pass

    pid = int((tmp_path / "pid").read_text())
    assert eventually(lambda: not running(pid))


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not state.startswith("Z")
