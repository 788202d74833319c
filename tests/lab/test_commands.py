"""`python -m cross_account_lab serve`, `shell` and `replay`, as a user runs them; the rehearsal runs the demo."""

import os
import re
import signal
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from cross_account_access.templates import PROJECT
from cross_account_lab.__main__ import main
from cross_account_lab.functions import example_path
from cross_account_lab.lab import Lab

USERS_OWN = {
    "AWS_PROFILE": "of-my-own",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "of-my-own",
    "AWS_SESSION_TOKEN": "of-my-own",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def test_the_demo_can_be_stopped_while_it_builds_and_leaves_no_file(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "cross_account_lab", "demo"],
        cwd=PROJECT,
        env=os.environ | USERS_OWN | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout
        assert any("start the emulator" in line for line in demo.stdout)
        demo.send_signal(signal.SIGTERM)
        output, _ = demo.communicate(timeout=600)

    assert demo.returncode == 130, output
    assert list(tmp_path.iterdir()) == []


def in_terminal(home: Path, *commands: str) -> str:
    """Type commands into the shell of a user who has AWS settings of their own, and return what they printed."""
    done = subprocess.run(
        ["bash"],
        input="\n".join(commands),
        cwd=PROJECT,
        env=USERS_OWN
        | {"PATH": os.environ["PATH"], "HOME": str(home), "SHELL": "/bin/bash"}
        | {"HTTPS_PROXY": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_the_lab_prints_works_when_pasted(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env_file, printed = tmp_path / "lab.env", list[str]()

    def paste() -> None:
        lines = capsys.readouterr().out.splitlines()
        shell, *commands = [line.partition("    #")[0].strip() for line in lines if line.startswith("  ")]
        *calls, logs, replay = [f"{command} </dev/null" for command in commands]
        opened = (shell, "set -eu", *calls, f"until {logs} | grep succeeded; do sleep 1; done", "exit")
        printed.append(in_terminal(tmp_path, *opened, "env | grep ^AWS_ | sort"))
        # A call that fails is replayed, from another terminal.
        failing = next(call for call in calls if "CallerFunction" in call).replace(example_path(), "/nowhere")
        replayed = f"until {replay} | grep 'CallQueue: 1'; do sleep 1; done"
        failed = f"{failing} --parameter InvocationType=Event"
        in_terminal(tmp_path, f"source {env_file}", "set -eu", failed, replayed)
        raise KeyboardInterrupt

    def start(*, consumers: list[str], **_: object) -> AbstractContextManager[Lab]:
        assert consumers == ["account-b", "account-c"]
        return nullcontext(lab)  # in which account B is a consumer

    monkeypatch.setattr(Lab, "start", start)
    events = SimpleNamespace(Event=lambda: SimpleNamespace(wait=paste))
    monkeypatch.setattr("cross_account_lab.__main__.threading", events)
    monkeypatch.setattr("cross_account_lab.__main__.drop_aws_variables", lambda _: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    assert main(["serve", "--consumers", "account-b,account-c", "--env-file", str(env_file)]) == 0
    [terminal] = printed
    assert re.search(r'"status": ?200', terminal)
    own = [f"{name}={value}" for name, value in sorted(USERS_OWN.items()) if name.startswith("AWS_")]
    assert terminal.splitlines()[-len(own) :] == own
    assert capsys.readouterr().out == "Stopped.\n"
    assert not env_file.is_symlink()
