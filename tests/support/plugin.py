"""Which tests share a worker, which need a lab, and what a skip means."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Generator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_LABS = {"lab", "foreign", "containers", "docker_engine"}

_SCOPES = {
    "containers": re.compile("tests/lab/containers/"),
    "lab": re.compile("tests/lab/(foreign/|orders/|wheel/|test_(?!emulator))"),
}
"""Tests that share what takes long to start run in one worker; all others are distributed by module."""

_ORDER = ("tests/lab", "tests/wire/faults", "tests/templates/access")
"""What takes longest starts first, so that no worker is left with it in the end."""


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    def _split_scope(self, nodeid: str) -> str:
        return next((name for name, tests in _SCOPES.items() if tests.match(nodeid)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    # --dist=loadgroup has no effect with pytest 9.2.
    return _Scheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: tests wait, but each worker takes seconds to collect them."""
    return 1 + (os.process_cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _LABS & set(getattr(item, "fixturenames", ())):
            item.add_marker("lab")
    items.sort(key=lambda item: next((place for place, path in enumerate(_ORDER) if item.nodeid.startswith(path)), 99))


def pytest_collection_finish() -> None:
    """Look for cycles less often, and not in what is imported: the solver's tests take a twelfth less time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


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
