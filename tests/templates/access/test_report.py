"""The access report fails when something is wrong, and works for people."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from rich.console import Console

from cross_account_access.__main__ import main
from cross_account_access.documents import document
from cross_account_access.model import Model
from cross_account_access.properties import PROPERTIES
from cross_account_access.report import Report, examine, html, terminal
from cross_account_access.templates import PROJECT
from tests.templates.access.test_properties import change_a, copied, grant

CELL = "✕ no: A workload of account B, posing as account 333333333333, Assume the role"


@pytest.fixture(scope="module")
def bad(second: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Another API whose executor role is granted everything."""
    model = change_a(copied(second, tmp_path_factory.mktemp("bad")), grant("/*"))
    return examine({"defaults": model}, {})


@pytest.fixture(scope="module")
def page(good: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "access-report.html"
    path.write_text(html(good))
    return path


def text_of(report: Report) -> str:
    console = Console(width=250, file=io.StringIO())
    console.print(terminal(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_says_what_it_is_about(good: Report) -> None:
    cells = sum(len(row.cells) for matrix in good.matrices for row in matrix.rows)
    assert [matrix.calls[1:] for matrix in good.matrices[1:]] == [["GET /path", "POST /path/*", "DELETE /not-listed"]]
    for text in (html(good), text_of(good)):
        for label in ("111111111111", "222222222222", "a1b2c3d4e5", "role/ExecutorRole", "abc1234", "stage v1"):
            assert label in text
        assert (
            f"Access is as the contract says: {cells} of {cells} cells, {len(good.proofs)} properties proven." in text
        )
        assert "An access stack (template-access.yaml), for an API with its guard" in text
    assert html(good).count(">proven<") == len(good.proofs)


def test_what_is_wrong_is_said_on_top_and_where_it_is(bad: Report) -> None:
    assert not bad.good
    assert bad.summary == (
        f"Access is NOT as it should be: {bad.refuted} of {len(PROPERTIES)} properties refuted,"
        f" {len(bad.wrong)} of 60 cells not as the contract says."
    )
    assert bad.refuted == 2
    assert [(row.who, call) for row, call, _ in bad.wrong] == [
        ("The executor's session", "POST /teas"),
        ("The executor's session", "DELETE /teas"),
    ]
    page, text = html(bad), text_of(bad)
    assert page.index(bad.summary) < page.index("<dl>")
    assert text.startswith(bad.summary)
    for shown in (page, text):
        assert "assumed by account B, POST /teas: allowed, but not intended." in shown
        assert "allowed, but not intended: session" in shown
    assert f"2 of {len(PROPERTIES)} properties refuted" in page
    assert "found none" not in page
    assert page.count(">refuted<") == bad.refuted
    assert "! yes" in text


def test_a_cell_that_should_be_yes_is_wrong_as_well(model: Model) -> None:
    name = f"{model.executor.name} identity"
    report = examine({"defaults": model.with_document(name, document([]))}, {})
    assert {call for _, call, _ in report.wrong} == {str(route) for route in model.routes if route.promised}
    assert "intended, but not allowed" in text_of(report)


def test_the_command_writes_the_page_without_anybody_elses_warnings(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-m", "cross_account_access", "--output", page],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Access is as the contract says")
    assert done.stdout.count("Access is as the contract says") == 2
    assert page.read_text().startswith("<!doctype html>")


def test_the_command_fails_when_something_is_wrong(
    bad: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cross_account_access.__main__.variants", lambda: {"defaults": bad.model})
    assert main(["--output", str(tmp_path / "page.html")]) == 1
    assert capsys.readouterr().out.startswith("Access is NOT as it should be")


def test_the_command_says_what_it_cannot_decide(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    statement = {
        "Sid": "Revoke",
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateIsBefore": {"aws:TokenIssueTime": "2026-01-01T00:00:00Z"}},
    }
    name = f"{model.executor.name} identity"
    strange = model.with_document(name, document([*model[name]["Statement"], statement]))
    monkeypatch.setattr("cross_account_access.__main__.variants", lambda: {"defaults": strange})
    assert main(["--output", str(tmp_path / "page.html")]) == 2
    assert "NotModelledError: operator DateIsBefore" in capsys.readouterr().out
    assert not (tmp_path / "page.html").exists()


# --- In a browser -----------------------------------------------------------------------------------------------------


def test_people_read_the_report_in_a_browser(page: Path) -> None:
    """A cell shows its reason on hover, click and key; the page asks for nothing else and fits a telephone."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        pytest.skip("Chromium is not installed")
    reason = "AssumeForWorkloads does not match on StringLike sts:RoleSessionName"
    problems: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        shown.on("console", lambda message: problems.append(message.text))
        shown.on("pageerror", lambda error: problems.append(str(error)))
        shown.on("request", lambda request: requests.append(request.url))
        shown.goto(page.as_uri())
        cell, dialog = shown.get_by_role("button", name=CELL, exact=True), shown.get_by_role("dialog")

        assert reason in str(cell.get_attribute("title"))
        cell.click()
        assert reason in dialog.inner_text()
        shown.keyboard.press("Escape")
        assert dialog.count() == 0
        cell.focus()
        shown.keyboard.press("Enter")
        assert reason in dialog.inner_text()
        assert shown.evaluate("document.activeElement.textContent") == "Close"
        shown.keyboard.press("Enter")
        assert cell.evaluate("element => element === document.activeElement"), "the focus is lost"

        assert shown.evaluate("document.documentElement.scrollWidth - innerWidth") == 0, "wider than the screen"
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        shown.emulate_media(media="print")
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        browser.close()
    assert problems == []
    assert requests == [page.as_uri()]
