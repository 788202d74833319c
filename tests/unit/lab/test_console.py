from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cross_account_lab.console import progress


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False)


def test_progress_shows_how_long_a_step_took(console: Console) -> None:
    with progress(console, "boil water"):
        pass

    assert isinstance(console.file, io.StringIO)
    assert re.fullmatch(r"✓ boil water +[0-9]+\.[0-9] s\n", console.file.getvalue())


def test_progress_does_not_claim_success_of_a_step_that_failed(console: Console) -> None:
    with pytest.raises(OSError, match="cold"), progress(console, "boil water"):
        raise OSError("cold")

    assert isinstance(console.file, io.StringIO)
    assert "✓" not in console.file.getvalue()
