"""The access report says what the oracles say, and works for people."""

from __future__ import annotations

import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from access.policies import Policies, from_templates

from access import matrix
from access.properties import FACTS
from access.report import CALLS, render, rows
from tests.access import oracles
from tests.access.oracles import FOLDER

CELL = "✕ no: A workload of account B, posing as account C, Assume the role"


@pytest.fixture(scope="module")
def report(deployed: Policies, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "access-report.html"
    path.write_text(render(deployed))
    return path


@pytest.fixture(scope="module")
def seen(report: Path, node: None, chromium: str) -> dict[str, Any]:
    """What a browser shows."""
    answer = subprocess.run(
        ["node", "look.mjs", chromium, report, CELL, report.with_suffix(".png")],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_every_cell_is_what_an_oracle_decides() -> None:
    policies = from_templates()
    cells = [cell for _, _, decisions in rows(policies) for cell in decisions]
    decisions = oracles.reach([case for case, _ in cells], matrix.documents(policies))
    assert [decision.allowed for _, decision in cells] == decisions
    assert len(cells) == len(list(rows(policies))) * len(CALLS)


def test_only_the_executor_calls_and_only_the_consumers_own_principals_become_it() -> None:
    allowed = {
        (f"{who}, {situation}", call)
        for who, situation, decisions in rows(from_templates())
        for call, (_, decision) in zip(CALLS, decisions, strict=True)
        if decision.allowed
    }
    assert allowed == {
        ("A workload of account B, before it assumes the role", "Assume the role"),
        ("A user of account B, with MFA", "Assume the role"),
        *(("The executor's session, assumed by account B", call) for call in CALLS[1:-1]),
    }


def test_the_report_needs_nothing_beside_it(report: Path, deployed: Policies) -> None:
    page = report.read_text()
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset", "data"})

    Links().feed(page)
    assert links == []
    assert "url(" not in page
    assert deployed.names["ExecutorRole.RoleId"] in page
    assert page.count(">proven<") == len(FACTS)
    assert ">refuted<" not in page


def test_a_cell_tells_the_reason_on_hover_click_and_key(seen: dict[str, Any]) -> None:
    assert seen["label"] == "✕ no"
    reason = "AssumeForWorkloads does not match on StringLike sts:RoleSessionName"
    for text in (seen["hover"], seen["clicked"], seen["pressed"]):
        assert reason in text
    assert "Assume the role: refused" in seen["clicked"]
    assert "sts:RoleSessionName 333333333333-orders" in seen["clicked"]
    assert seen["closed"]
    assert seen["focused"] == "Close"
    assert seen["returned"], "the focus is lost when the reason is closed"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_accessible(seen: dict[str, Any], scheme: str) -> None:
    assert seen[scheme]["violations"] == []


def test_the_report_follows_the_readers_colours_and_prints_on_white(seen: dict[str, Any]) -> None:
    assert seen["light"]["background"] == "rgb(255, 255, 255)"
    assert seen["dark"]["background"] == "rgb(20, 23, 26)"
    assert seen["inkOnPaper"] == "rgb(255, 255, 255)"
    assert seen["printed"] == "%PDF-"


def test_the_report_runs_without_complaint_and_asks_the_network_for_nothing(seen: dict[str, Any], report: Path) -> None:
    assert seen["problems"] == []
    assert seen["requests"] == [report.as_uri()]
