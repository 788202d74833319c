"""A skip fails in CI."""

import pytest

TESTS = """
import pytest

@pytest.fixture
def docker():
    pytest.skip("no Docker engine")

def test_container(docker): ...

def test_browser():
    pytest.skip("no browser")

@pytest.mark.xfail(strict=True)
def test_known_bug():
    raise AssertionError
"""


@pytest.mark.parametrize(("ci", "outcomes"), [("", {"skipped": 2}), ("true", {"errors": 1, "failed": 1})])
def test_a_skip_fails_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_inprocess("-p", "tests.support.plugin", "-p", "no:xdist")
    result.assert_outcomes(**outcomes, xfailed=1)


def test_real_accounts_are_exempt(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    folder = pytester.mkdir("deployed")
    (folder / "test_smoke.py").write_text(TESTS)
    result = pytester.runpytest_inprocess("-p", "tests.support.plugin", "-p", "no:xdist")
    result.assert_outcomes(skipped=2, xfailed=1)
