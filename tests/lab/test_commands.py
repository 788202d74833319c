"""`python -m cross_account_lab serve`, `shell` and `replay`, as a user runs them; the rehearsal runs the demo."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from cross_account_access.templates import PROJECT
from cross_account_lab.functions import example_path

USERS_OWN = {
    "AWS_PROFILE": "of-my-own",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "of-my-own",
    "AWS_SESSION_TOKEN": "of-my-own",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def lab_command(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m cross_account_lab` with its temporary files in a folder, and check that it leaves none there."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "cross_account_lab", *arguments],
        cwd=PROJECT,
        env=os.environ | USERS_OWN | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watchdog = Timer(240, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
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


def test_the_demo_can_be_stopped_while_it_builds(folder: Path) -> None:
    with lab_command(folder, "demo") as demo:
        read_until(demo, "start the emulator")
        demo.send_signal(signal.SIGTERM)
        output, _ = demo.communicate(timeout=600)

    assert demo.returncode == 130, output


def in_terminal(tmp_path: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    """Type commands into the shell of a user who has AWS settings of their own."""
    return subprocess.run(
        ["bash"],
        input="\n".join(commands),
        cwd=PROJECT,
        env=USERS_OWN
        | {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SHELL": "/bin/bash"}
        | {"HTTPS_PROXY": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_what_the_lab_prints_works_when_pasted(folder: Path, tmp_path: Path) -> None:
    env_file = tmp_path / "lab.env"
    with lab_command(folder, "serve", "--consumers", "account-b,account-c", "--env-file", str(env_file)) as lab:
        usage = read_until(lab, "--consumer account-c")
        shell, *commands = [line.partition("    #")[0].strip() for line in usage.splitlines() if line.startswith("  ")]
        program = f"{os.path.relpath(sys.executable, PROJECT)} -m cross_account_lab"
        assert shell == f"{program} shell --env-file {os.path.relpath(env_file, PROJECT)}"
        per_consumer = ["sam remote", "sam remote", "sam logs", " ".join(program.split()[:2])]
        assert [" ".join(line.split()[:2]) for line in commands] == ["call-api GET", *per_consumer, *per_consumer]
        of_c = [command for command in commands if "account-b" not in command]
        terminal = in_terminal(
            tmp_path,
            *(shell, "set -eu"),
            *(f"{command} </dev/null" for command in of_c),
            *(
                f"until {command} </dev/null | grep succeeded; do sleep 1; done"
                for command in of_c
                if "logs" in command
            ),
            *("exit", "env | grep ^AWS_ | sort"),
        )
        # A call that fails is replayed, from another terminal.
        failing = next(line for line in commands if "CallerFunction" in line).replace(example_path(), "/nowhere")
        replay = next(line for line in commands if "replay" in line)
        replayed = in_terminal(
            tmp_path,
            *(f"source {env_file}", "set -eu"),
            f"{failing} --parameter InvocationType=Event </dev/null",
            f"until {replay} </dev/null | grep 'CallQueue: 1'; do sleep 1; done",
        )
        lab.send_signal(signal.SIGINT)
        rest, _ = lab.communicate(timeout=600)

    assert terminal.returncode == 0, terminal.stdout + terminal.stderr
    assert re.search(r'"status": ?200', terminal.stdout)
    own = [f"{name}={value}" for name, value in sorted(USERS_OWN.items()) if name.startswith("AWS_")]
    assert terminal.stdout.splitlines()[-len(own) :] == own
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert lab.returncode == 0
    assert rest.endswith("Stopped.\n")
    assert not env_file.is_symlink()
