import io

import pytest

from cross_account_lab.console import make_console


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
