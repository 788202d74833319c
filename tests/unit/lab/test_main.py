from pathlib import Path

import pytest
from rich.console import Console

from cross_account_lab.__main__ import main
from cross_account_lab.emulator import EmulatorError
from cross_account_lab.sam import SamError


@pytest.fixture(autouse=True)
def _signals_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.mark.parametrize(
    ("outcome", "code", "output"),
    [
        (True, 0, ""),
        (False, 1, ""),
        (EmulatorError("no port"), 1, "EmulatorError: no port\n"),
        (SamError("[no] template"), 1, "SamError: [no] template\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_the_exit_code_shows_the_outcome(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcome: bool | BaseException,
    code: int,
    output: str,
) -> None:
    def run(_: Console) -> bool:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("cross_account_lab.demo.run", run)

    assert main(["demo"]) == code
    assert capsys.readouterr().out == output


@pytest.mark.parametrize("consumers", ["", "account-a", "account-c", "account-b,", "account-b,account-d"])
def test_consumers_are_account_b_and_others_of_the_lab(consumers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--consumers", consumers])

    assert "must be account-b or account-b,account-c" in capsys.readouterr().err


def test_an_event_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = tmp_path / "event.json"
    assert main(["local", str(event)]) == 1
    assert str(event) in capsys.readouterr().err

    event.write_text("{")
    assert main(["local", str(event)]) == 1
    assert "JSONDecodeError" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["replay", "shell"])
def test_without_a_lab_it_says_how_to_start_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lab.env").touch()  # nothing that a lab has written
    assert main([command, "--env-file", str(tmp_path / "lab.env")]) == 1

    assert "start a lab with `make lab`" in capsys.readouterr().out
