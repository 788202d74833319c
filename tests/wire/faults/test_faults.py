"""Each fault between real parts: how the caller reacts, and where the calls end up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cross_account_api import errors
from tests.wire.faults.cases import CASES, Case
from tests.wire.faults.environment import Invocation
from tests.wire.faults.runner import DIRECT, ONCE, QUEUED, Result, run_all, run_case


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    return run_all(run_case, CASES, tmp_path_factory.mktemp("faults"))


each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)


def skus(case: Case, *keys: str) -> Counter[str]:
    """Return the SKUs ordered by calls with these keys, if any."""
    bodies = [case.call(key).get("body") for key in keys]
    return Counter(body["sku"] for body in bodies if isinstance(body, dict))


def reported(invocation: Invocation) -> dict[str, Any]:
    """Return the one line that reports the call."""
    (line,) = (line for line in invocation.logs if line["message"] in {"call succeeded", "call failed"})
    return line


@each_case
def test_a_transient_fault_is_overcome(case: Case, results: dict[str, Result]) -> None:
    invocation = results[case.fault].transient
    if invocation is None:
        assert case.transient is None
        return
    assert (invocation.error, invocation.result["status"]) == ("", 201)
    assert invocation.result["attempts"] == case.transient


@each_case
def test_a_persistent_fault_ends_in_time_with_its_error(case: Case, results: dict[str, Result]) -> None:
    invocation = results[case.fault].persistent
    if case.error is None:
        assert (invocation.error, invocation.result["status"]) == ("", 201)
    else:
        assert issubclass(getattr(errors, invocation.error), case.error), invocation.message
    assert reported(invocation)["attempts"] == case.attempts
    assert invocation.seconds <= case.seconds


@each_case
def test_no_invocation_runs_into_the_functions_timeout(case: Case, results: dict[str, Result]) -> None:
    result = results[case.fault]
    for invocation in [result.persistent, *result.deliveries]:
        assert invocation.error != "Sandbox.Timedout"
    assert {invocation.error for invocation in result.deliveries} == {""}, "a batch reports what failed, one by one"


@each_case
def test_every_call_is_an_order_or_waits_in_the_queue(case: Case, results: dict[str, Result]) -> None:
    result = results[case.fault]
    before = Counter(result.before)
    during = Counter(result.during) - before
    assert during == (skus(case, DIRECT, QUEUED) if case.ordered else Counter())
    assert result.failed == ([] if case.error is None else [case.call(QUEUED)]), "unchanged, to be fixed or replayed"


@each_case
def test_replay_completes_the_rest_and_nothing_twice(case: Case, results: dict[str, Result]) -> None:
    result = results[case.fault]
    expected = Counter(result.during) | (skus(case, QUEUED) if case.recovers else Counter())
    assert Counter(result.replayed) == expected
    assert max(expected.values(), default=1) == 1, "no order twice"
    assert result.failed_again == ([] if case.recovers else [case.call(QUEUED)])
    assert Counter(result.repeated) == expected


@each_case
def test_no_third_party_receives_a_request(case: Case, results: dict[str, Result]) -> None:
    assert results[case.fault].disclosed == 0


@each_case
def test_the_metrics_are_right(case: Case, results: dict[str, Result]) -> None:
    result = results[case.fault]
    invocation = result.persistent
    attempts = case.attempts
    outcome = "CallSucceeded" if case.error is None else "CallFailed"
    counts = {name: value for name, value in invocation.metrics.items() if name != "CallDuration"}
    assert counts.pop("AssumeRoleFailed", 0) == (1 if case.error is errors.AssumeRoleError else 0)
    assert counts.pop("CallThrottled", 0) == (attempts if "429" in case.fault else 0)
    assert counts.pop("CallRetried", 0) == max(attempts - 1, 0)
    assert counts == {"CallAttempts": attempts, outcome: 1}
    failed = sum(delivery.metrics["CallFailed"] for delivery in result.deliveries)
    assert failed == (0 if case.error is None else 1 if case.parked else case.receives)


@each_case
def test_nothing_secret_is_logged(case: Case, results: dict[str, Result]) -> None:
    result = results[case.fault]
    text = "".join(str((it.logs, it.message)) for it in [result.transient, result.persistent, *result.deliveries] if it)
    for secret in ("-secret", "-token", "ASIA", "AWS4-HMAC-SHA256", "external-id", "'sku'", '"sku"'):
        assert secret not in text


def test_case_names_are_unique() -> None:
    assert len({case.fault for case in CASES}) == len(CASES)
    assert {ONCE, DIRECT, QUEUED} == {"once", "direct", "queued"}
