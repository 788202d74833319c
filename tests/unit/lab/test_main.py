from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lab import __main__ as command
from lab.emulator import EmulatorError
from lab.sam import SamError

LAB: Any = SimpleNamespace(
    environment={"AWS_CONFIG_FILE": "/tmp/a folder/config"},  # noqa: S108 - named, not used
    endpoint="https://127.0.0.1:1",
    api_url="https://127.0.0.1:1/v1",
    outputs={"account-b": {"CallQueueUrl": "https://127.0.0.1:1/queue"}},
)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    yield
    for stop, handler in before.items():
        signal.signal(stop, handler)


def main(monkeypatch: pytest.MonkeyPatch, outcome: bool | BaseException) -> int:
    def run(_: Console) -> bool:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(sys, "argv", ["lab", "demo"])
    monkeypatch.setattr("lab.demo.run", run)
    return command.main()


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(True, 0), (False, 1), (EmulatorError("no port"), 1), (SamError("[no] template"), 1), (KeyboardInterrupt(), 130)],
)
def test_the_exit_code_tells_how_it_went(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcome: bool | BaseException, code: int
) -> None:
    assert main(monkeypatch, outcome) == code

    expected = f"{type(outcome).__name__}: {outcome}\n" if isinstance(outcome, (EmulatorError, SamError)) else ""
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("aws", "tool"),
    [
        ("exit 0", "aws sqs --endpoint-url https://127.0.0.1:1 --profile account-b send-message"),
        ("exit 127", "AWS_PROFILE=account-b python"),
        (None, "python -c"),
    ],
)
def test_the_queue_is_shown_with_a_tool_that_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, aws: str | None, tool: str
) -> None:
    if aws:
        (tmp_path / "aws").write_text(f"#!/bin/sh\n{aws}\n")
        (tmp_path / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    guide = command.guide(LAB)

    assert tool in guide
    assert "export AWS_CONFIG_FILE='/tmp/a folder/config'" in guide
    assert "export API_URL=https://127.0.0.1:1/v1" in guide
