"""An API that ignores idempotency keys: a POST that it may have carried out is never repeated."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.wire.faults.cases import CASES, Case
from tests.wire.faults.environment import TIMED_OUT
from tests.wire.faults.runner import QUEUED, UnkeyedResult, run_all, run_unkeyed_case
from tests.wire.faults.testbed import Shared, TestBed, order

ORDERING = [case for case in CASES if case.call(QUEUED).get("method") == "POST" and "key used" not in case.fault]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, UnkeyedResult]:
    return run_all(run_unkeyed_case, ORDERING, tmp_path_factory.mktemp("unkeyed"), ignores_keys=True)


each_case = pytest.mark.parametrize("case", ORDERING, ids=lambda case: case.fault)


@each_case
def test_no_order_is_made_twice(case: Case, results: dict[str, UnkeyedResult]) -> None:
    result = results[case.fault]
    assert max(Counter(result.orders).values(), default=1) == 1, "by retries and deliveries"
    assert max(Counter(result.replayed).values(), default=1) == 1, "by a replay of what cannot have been carried out"


@each_case
def test_no_call_is_lost(case: Case, results: dict[str, UnkeyedResult]) -> None:
    result = results[case.fault]
    failed = [json.loads(call.body) for call in result.failed]
    assert failed == ([] if case.error is None else [case.call(QUEUED)])
    ordered = "queued" in result.orders
    assert ordered == case.ordered
    if case.error is not None and ordered:
        assert result.failed[0].uncertain, "a replay would order twice"


def test_a_function_killed_in_the_middle_of_a_call_is_not_repeated(shared: Shared) -> None:
    bed = TestBed(shared, ignores_keys=True)

    try:
        bed.put(order("killed"))
        [killed] = bed.deliver_and_kill()
        assert killed.error == TIMED_OUT
        assert bed.ordered() == ["killed"]
        assert [json.loads(call.body) for call in bed.queues.waiting()] == [order("killed")]
    finally:
        bed.stop()


def test_the_api_really_ignores_keys(shared: Shared) -> None:
    """Otherwise the tests above would prove nothing."""
    bed = TestBed(shared, ignores_keys=True)
    try:
        for _ in range(2):
            assert not bed.invoke(order("same")).error
        assert bed.ordered() == ["same", "same"]
    finally:
        bed.stop()
