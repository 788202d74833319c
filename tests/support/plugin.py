"""Which tests share a worker, which need a lab, and what a skip means."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

_LABS = {"lab", "own_lab", "foreign", "containers", "docker_engine"}
_TOGETHER = ("tests/containers", "tests/lab/foreign")
"""Folders whose tests share what takes long to start, besides the lab that each worker has."""


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker all tests of a module, or of such a folder."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return next((folder for folder in _TOGETHER if module.startswith(folder)), module)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    # --dist=loadgroup has no effect with pytest 9.2.
    return _Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if _LABS & set(getattr(item, "fixturenames", ())):
            item.add_marker("lab")


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
