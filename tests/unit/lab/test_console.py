import io
import re

import pytest
from rich.console import Console

from cross_account_lab.console import make_console, progress


def test_progress_shows_how_long_a_step_took_unless_it_failed() -> None:
    written = io.StringIO()
    console = Console(file=written, width=100, highlight=False)
    with progress(console, "boil water"):
        pass
    with pytest.raises(OSError, match="cold"), progress(console, "boil milk"):
        raise OSError("cold")

    assert re.fullmatch(r"✓ boil water +[0-9]+\.[0-9] s\n", written.getvalue())


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "+ x ? ?\n"), ("cp1252", "+ x é ?\n"), ("utf-8", "✓ ✗ é 世\n")]
)
def test_granted_and_refused_differ_in_any_encoding(encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    console = make_console()

    console.print("✓ ✗ é 世")
    console.file.flush()

    assert written.getvalue().decode(encoding) == shown
