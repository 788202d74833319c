"""The emulator starts or reports why it did not, and leaves nothing behind, however its parent process ends."""

import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cross_account_lab.emulator import EmulatorError, emulator, installed
from tests.support.waiting import eventually

START = """
import sys, time
from pathlib import Path
from cross_account_lab.emulator import emulator

with emulator(Path(sys.argv[1]), api_account="111111111111") as endpoint:
    print(endpoint, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "lab"
    path.mkdir()
    return path


def test_it_listens_on_loopback_and_ends_with_the_process_that_started_it_however_that_ends(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as starter:
        try:
            assert starter.stdout
            port = urlsplit(starter.stdout.readline().strip()).port
            command = ["ss", "-Hltn", f"sport = :{port}"]
            listening = subprocess.run(command, capture_output=True, text=True, check=True)
        finally:
            starter.kill()
    assert [line.split()[3] for line in listening.stdout.splitlines()] == [f"127.0.0.1:{port}"]

    def has_ended() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) != 0

    assert eventually(has_ended)
    assert eventually(lambda: not folder.exists())


def test_an_installation_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EmulatorError, match="could not be installed into"):
        installed()
    assert not list(tmp_path.rglob(".ready")), "it is tried again"


@pytest.mark.parametrize(
    ("script", "seconds", "why"),
    [
        ("echo port taken >&2; exit 1", 600, r"ended while it started:\nport taken"),
        ("exec sleep 600", 0, r"not ready within 0 s:\n"),
    ],
)
def test_an_emulator_that_does_not_start_says_why(
    folder: Path, tmp_path: Path, script: str, seconds: float, why: str
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)

    with (
        pytest.raises(EmulatorError, match=why),
        emulator(folder, api_account="111111111111", program=program, ready_seconds=seconds),
    ):
        pass
