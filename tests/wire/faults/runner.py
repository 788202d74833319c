"""Runs the cases, several at a time, and records what happens."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.wire.faults.backend import Backend, in_memory
from tests.wire.faults.cases import Case
from tests.wire.faults.environment import Invocation
from tests.wire.faults.queues import FailedCall
from tests.wire.faults.testbed import Shared, TestBed

_CONCURRENCY = 16


@dataclass(frozen=True)
class Result:
    """What happened in a case.

    Attributes:
        transient: The invocation that met the fault once; None if the case has none.
        persistent: The invocation that met the fault every time.
        deliveries: The invocations for the queued call while the fault persisted.
        before: Orders before the fault.
        during: Orders while the fault persisted.
        failed: Calls in FailedCallQueue while it persisted.
        replayed: Orders after the fault, when FailedCallQueue had been replayed.
        failed_again: Calls that were in FailedCallQueue after the replay.
        repeated: Orders after all calls had been delivered once more.
        disclosed: The number of requests that a third party received.
    """

    transient: Invocation | None
    persistent: Invocation
    deliveries: list[Invocation]
    before: list[str]
    during: list[str]
    failed: list[dict[str, Any]]
    replayed: list[str]
    failed_again: list[dict[str, Any]]
    repeated: list[str]
    disclosed: int


DIRECT, QUEUED, ONCE = "direct", "queued", "once"


def run_case(case: Case, bed: TestBed) -> Result:
    """Inject a fault once, then persistently; clear it, replay what failed, and deliver everything again."""
    case.prepare(bed)
    transient = None
    if case.transient is not None:
        with case.inject(bed, False):
            transient = bed.invoke(case.call(ONCE))
    before = bed.ordered()
    if case.cold:
        bed.restart()
    queued = case.call(QUEUED)
    with case.inject(bed, True):
        persistent = bed.invoke(case.call(DIRECT))
        bed.put(queued)
        deliveries = bed.deliver()
    during, failed = bed.ordered(), bed.failed()
    # A replay does not come at once, and a failed AssumeRole is reused for some seconds.
    bed.environment.wait(10)
    bed.queues.replay()
    bed.deliver()
    replayed, failed_again = bed.ordered(), bed.failed()
    bed.queues.replay()
    bed.put(queued, queued)
    bed.deliver()
    return Result(
        transient,
        persistent,
        deliveries,
        before,
        during,
        failed,
        replayed,
        failed_again,
        repeated=bed.ordered(),
        disclosed=len(bed.third_party.requests),
    )


@dataclass(frozen=True)
class UnkeyedResult:
    """What happened in a case with an API that ignores idempotency keys.

    Attributes:
        orders: All orders while the fault persisted.
        failed: Calls in FailedCallQueue then.
        replayed: All orders when those calls had been replayed that the API cannot have carried out.
    """

    orders: list[str]
    failed: list[FailedCall]
    replayed: list[str]


def run_unkeyed_case(case: Case, bed: TestBed) -> UnkeyedResult:
    """Inject a fault once, then persistently; clear it, and replay what cannot have been carried out."""
    case.prepare(bed)
    with case.inject(bed, False):
        bed.invoke(case.call(ONCE))
    if case.cold:
        bed.restart()
    with case.inject(bed, True):
        bed.invoke(case.call(DIRECT))
        bed.put(case.call(QUEUED))
        bed.deliver()
    orders, failed = bed.ordered(), bed.queues.waiting()
    bed.environment.wait(10)
    bed.queues.replay(uncertain=False)
    bed.deliver()
    return UnkeyedResult(orders, failed, replayed=bed.ordered())


def run_all[T](
    run: Callable[[Case, TestBed], T],
    cases: list[Case],
    folder: Path,
    *,
    ignores_keys: bool = False,
    deploy: Callable[[], AbstractContextManager[Backend]] = in_memory,
) -> dict[str, T]:
    """Run cases, several at a time, each with a test bed of its own."""
    # Adjacent cases are alike. Spread out, those that mostly wait run next to those that compute.
    mixed = [case for start in range(_CONCURRENCY) for case in cases[start::_CONCURRENCY]]
    with Shared.create(folder, deploy) as shared, ThreadPoolExecutor(_CONCURRENCY) as threads:

        def run_one(case: Case) -> T:
            bed = TestBed(shared, receives=case.receives, ignores_keys=ignores_keys)
            try:
                return run(case, bed)
            finally:
                bed.stop()

        return dict(zip((case.fault for case in mixed), threads.map(run_one, mixed), strict=True))
