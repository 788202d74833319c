"""Each fault between real parts: how the caller reacts, and where the calls end up."""

from collections import Counter
from collections.abc import Callable

import pytest

from cross_account_api import errors
from tests.wire.faults import table
from tests.wire.faults.cases import CASES, Case
from tests.wire.faults.environment import TIMED_OUT, Invocation
from tests.wire.faults.testbed import TestBed, order

DIRECT, QUEUED, ONCE = "direct", "queued", "once"


def skus(case: Case, *keys: str) -> Counter[str]:
    """Return the SKUs ordered by calls with these keys, if any."""
    bodies = [case.call(key).get("body") for key in keys]
    return Counter(body["sku"] for body in bodies if isinstance(body, dict))


def check_metrics(case: Case, invocation: Invocation) -> None:
    outcome = "CallSucceeded" if case.error is None else "CallFailed"
    counts = {name: value for name, value in invocation.metrics.items() if name != "CallDuration"}
    assert counts.pop("AssumeRoleFailed", 0) == (1 if case.error is errors.AssumeRoleError else 0)
    assert counts.pop("CallThrottled", 0) == (case.attempts if "429" in case.fault else 0)
    assert counts.pop("CallRetried", 0) == max(case.attempts - 1, 0)
    assert counts == {"CallAttempts": case.attempts, outcome: 1}


def check_secrets(invocations: list[Invocation]) -> None:
    text = "".join(str((it.logs, it.message)) for it in invocations)
    for secret in ("-secret", "-token", "ASIA", "AWS4-HMAC-SHA256", "external-id", "'sku'", '"sku"'):
        assert secret not in text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_every_call_is_an_order_or_waits_in_the_queue(case: Case, new_bed: Callable[..., TestBed]) -> None:
    """Inject a fault once, then persistently; clear it, replay what failed, and deliver everything again."""
    bed = new_bed(receives=case.receives)
    case.prepare(bed)
    if case.transient is not None:
        case.inject(bed, False)
        transient = bed.invoke(case.call(ONCE))
        bed.restore()
        assert (transient.error, transient.result["status"]) == ("", 201)
        assert transient.result["attempts"] == case.transient
        check_secrets([transient])
    before, queued = bed.ordered(), case.call(QUEUED)
    if case.cold:
        bed.environment.stop()
    case.inject(bed, True)
    persistent = bed.invoke(case.call(DIRECT))
    bed.put(queued)
    deliveries = bed.deliver()
    bed.restore()

    # It ends in time with its error, and a batch reports what failed, one by one.
    if case.error is None:
        assert (persistent.error, persistent.result["status"]) == ("", 201)
    else:
        assert issubclass(getattr(errors, persistent.error), case.error), persistent.message
    assert persistent.report["attempts"] == case.attempts
    assert persistent.seconds <= case.seconds
    assert {invocation.error for invocation in deliveries} == {""}
    check_metrics(case, persistent)
    failed = sum(delivery.metrics["CallFailed"] for delivery in deliveries)
    assert failed == (0 if case.error is None else 1 if case.parked else case.receives)
    check_secrets([persistent, *deliveries])
    # No call is lost: it waits unchanged, to be fixed or replayed.
    during = bed.ordered()
    assert during - before == (skus(case, DIRECT, QUEUED) if case.ordered else Counter())
    assert bed.failed() == ([] if case.error is None else [queued])

    # A replay does not come at once, and a failed AssumeRole is reused for some seconds.
    bed.environment.wait(10)
    bed.queues.replay()
    bed.deliver()

    # It completes the rest, and no order is made twice, not even by further deliveries.
    expected = during | (skus(case, QUEUED) if case.recovers else Counter())
    assert bed.ordered() == expected
    assert max(expected.values(), default=1) == 1
    assert bed.failed() == ([] if case.recovers else [queued])
    bed.queues.replay()
    bed.put(queued, queued)
    bed.deliver()
    assert bed.ordered() == expected
    assert bed.third_party.requests == []


ORDERING = [case for case in CASES if case.call(QUEUED).get("method") == "POST" and "key used" not in case.fault]


@pytest.mark.parametrize("case", ORDERING, ids=lambda case: case.fault)
def test_an_api_that_ignores_keys_makes_no_order_twice(case: Case, new_bed: Callable[..., TestBed]) -> None:
    bed = new_bed(ignores_keys=True)
    case.prepare(bed)
    case.inject(bed, False)
    bed.invoke(case.call(ONCE))
    bed.restore()
    if case.cold:
        bed.environment.stop()
    case.inject(bed, True)
    bed.invoke(case.call(DIRECT))
    bed.put(case.call(QUEUED))
    bed.deliver()
    bed.restore()

    orders = bed.ordered()
    assert max(orders.values(), default=1) == 1, "by retries and deliveries"
    assert bed.failed() == ([] if case.error is None else [case.call(QUEUED)]), "no call is lost"
    assert ("queued" in orders) == case.ordered
    if case.error is not None and case.ordered:
        assert bed.queues.failed[0].uncertain, "a replay would order twice"
    bed.environment.wait(10)
    bed.queues.replay(uncertain=False)
    bed.deliver()
    assert max(bed.ordered().values(), default=1) == 1, "by a replay of what cannot have been carried out"


@pytest.mark.filterwarnings("ignore:No application metrics")  # a killed function emits none
def test_a_function_killed_in_the_middle_of_a_call_is_not_repeated_if_keys_are_ignored(
    new_bed: Callable[..., TestBed],
) -> None:
    bed = new_bed(ignores_keys=True)
    bed.put(order("killed"))
    [killed] = bed.deliver_and_kill()
    assert killed.error == TIMED_OUT
    assert bed.ordered() == {"killed": 1}
    assert bed.failed() == [order("killed")]


def test_the_api_really_ignores_keys(new_bed: Callable[..., TestBed]) -> None:
    """Otherwise the tests above would prove nothing."""
    bed = new_bed(ignores_keys=True)
    for _ in range(2):
        assert not bed.invoke(order("same")).error
    assert bed.ordered() == {"same": 2}


def test_the_fault_table_is_that_of_the_suite() -> None:
    assert table.written() == table.render(), "run python -m tests.wire.faults.table"
