"""Each fault between real parts: what the caller does, and where the calls are in the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cross_account_api import errors
from tests.faults.cases import CASES, Case
from tests.faults.environment import Invocation
from tests.faults.runner import DIRECT, ONCE, QUEUED, Finding
from tests.faults.speedup import paced

# What a busy machine may add to each request, in seconds.
SLACK = 2.0

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)


def skus(case: Case, *keys: str) -> Counter[str]:
    """Return what is ordered by calls with these keys, if they order anything."""
    bodies = [case.call(key).get("body") for key in keys]
    return Counter(body["sku"] for body in bodies if isinstance(body, dict))


def reported(invocation: Invocation) -> dict[str, Any]:
    """Return the one line that tells how the call ended."""
    (line,) = (line for line in invocation.logs if line["message"] in {"call succeeded", "call failed"})
    return line


@each_case
def test_a_fault_that_passes_is_overcome(case: Case, findings: dict[str, Finding]) -> None:
    invocation = findings[case.fault].passing
    if invocation is None:
        assert case.passing is None
        return
    assert (invocation.error, invocation.result["status"]) == ("", 201)
    assert invocation.result["attempts"] == case.passing


@each_case
def test_a_fault_that_lasts_ends_in_time_with_an_error_that_says_what_it_was(
    case: Case, findings: dict[str, Finding]
) -> None:
    invocation = findings[case.fault].lasting
    if case.error is None:
        assert (invocation.error, invocation.result["status"]) == ("", 201)
    else:
        assert issubclass(getattr(errors, invocation.error), case.error), invocation.message
    assert reported(invocation)["attempts"] == case.attempts
    assert invocation.slept <= paced(case.seconds)
    assert invocation.seconds <= paced(case.seconds) + SLACK * (case.attempts + 1)


@each_case
def test_no_invocation_runs_into_the_functions_timeout(case: Case, findings: dict[str, Finding]) -> None:
    finding = findings[case.fault]
    for invocation in [finding.lasting, *finding.deliveries]:
        assert invocation.error != "Sandbox.Timedout"
    assert {invocation.error for invocation in finding.deliveries} == {""}, "a batch reports what failed, one by one"


@each_case
def test_every_call_is_an_order_or_waits_in_the_queue(case: Case, findings: dict[str, Finding]) -> None:
    finding = findings[case.fault]
    before = Counter(finding.before)
    while_lasting = Counter(finding.while_lasting) - before
    assert while_lasting == (skus(case, DIRECT, QUEUED) if case.ordered else Counter())
    assert finding.failed == ([] if case.error is None else [case.call(QUEUED)]), "as it came, to be mended or replayed"


@each_case
def test_replay_does_what_is_left_and_nothing_twice(case: Case, findings: dict[str, Finding]) -> None:
    finding = findings[case.fault]
    expected = Counter(finding.while_lasting) | (skus(case, QUEUED) if case.mends else Counter())
    assert Counter(finding.replayed) == expected
    assert max(expected.values(), default=1) == 1, "no order twice"
    assert finding.failed_again == ([] if case.mends else [case.call(QUEUED)])
    assert Counter(finding.repeated) == expected


@each_case
def test_nobody_else_is_told_anything(case: Case, findings: dict[str, Finding]) -> None:
    assert findings[case.fault].strangers == 0


@each_case
def test_the_metrics_say_what_happened(case: Case, findings: dict[str, Finding]) -> None:
    finding = findings[case.fault]
    invocation = finding.lasting
    attempts = case.attempts
    outcome = "CallSucceeded" if case.error is None else "CallFailed"
    counts = {name: value for name, value in invocation.metrics.items() if name != "CallDuration"}
    # An early renewal that fails is counted too, though the call succeeds: once for all that failed together.
    sessions = finding.passing if finding.passing and case.error is None else invocation
    assert sessions.metrics["AssumeRoleFailed"] == (1 if "STS" in case.fault else 0)
    counts.pop("AssumeRoleFailed", None)
    assert counts.pop("CallThrottled", 0) == (attempts if "429" in case.fault else 0)
    assert counts.pop("CallRetried", 0) == max(attempts - 1, 0)
    assert counts == {"CallAttempts": attempts, outcome: 1}
    failed = sum(delivery.metrics["CallFailed"] for delivery in finding.deliveries)
    assert failed == (0 if case.error is None else case.receives)


@each_case
def test_nothing_secret_is_logged(case: Case, findings: dict[str, Finding]) -> None:
    finding = findings[case.fault]
    text = "".join(str((it.logs, it.message)) for it in [finding.passing, finding.lasting, *finding.deliveries] if it)
    for secret in ("-secret", "-token", "ASIA", "AWS4-HMAC-SHA256", "external-id", "'sku'", '"sku"'):
        assert secret not in text


def test_a_stalled_attempt_is_followed_by_a_newly_signed_one(findings: dict[str, Finding]) -> None:
    first, second, *_ = findings["answer stalls before its first byte"].signed
    assert first != second


def test_case_names_are_unique() -> None:
    assert len({case.fault for case in CASES}) == len(CASES)
    assert {ONCE, DIRECT, QUEUED} == {"once", "direct", "queued"}
