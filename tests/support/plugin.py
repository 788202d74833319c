"""Which tests run together, and what a skip means."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

_LABS = ("own_lab", "lab", "containers", "docker_engine")
"""Fixtures that take long to start; the first that a test uses is the one that it shares."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests that one worker has to run: those that share a lab, else those of a module."""
    for item in items:
        lab = next((name for name in _LABS if name in getattr(item, "fixturenames", ())), None)
        if lab:
            item.add_marker("lab")
        item.add_marker(pytest.mark.xdist_group(lab or item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true, fail a test that skips because a part is missing; real accounts are exempt."""
    report = yield
    is_skip = report.skipped and not hasattr(report, "wasxfail")
    if is_skip and os.environ.get("CI") == "true" and "deployed" not in item.path.parts:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"With CI=true a skip is a failure. {reason}"
    return report
