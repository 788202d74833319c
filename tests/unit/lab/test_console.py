from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cross_account_lab.console import make_console, progress


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False)


def test_progress_shows_how_long_a_step_took(console: Console) -> None:
    with progress(console, "boil water"):
        pass

    assert isinstance(console.file, io.StringIO)
    assert re.fullmatch(r"✓ boil water +[0-9]+\.[0-9] s\n", console.file.getvalue())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_granted_and_refused_differ_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    console = make_console()

    console.print("✓ ✗ é 世")
    console.file.flush()

    shown = written.getvalue().decode(encoding)
    assert shown == {"ascii": "+ x ? ?\n", "cp1252": "+ x é ?\n", "utf-8": "✓ ✗ é 世\n"}[encoding]


def test_progress_does_not_claim_success_of_a_step_that_failed(console: Console) -> None:
    with pytest.raises(OSError, match="cold"), progress(console, "boil water"):
        raise OSError("cold")

    assert isinstance(console.file, io.StringIO)
    assert "✓" not in console.file.getvalue()
