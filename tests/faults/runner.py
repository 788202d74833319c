"""What a case comes to when it is tried."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.cases import CASES, Case
from tests.faults.environment import Invocation
from tests.faults.speedup import paced
from tests.faults.testbed import Ground, World

_AT_A_TIME = 8


@dataclass(frozen=True)
class Finding:
    """What was seen.

    Attributes:
        passing: The invocation that met the fault once; None if it is not one that passes.
        signed: The signatures of its requests, in their order.
        lasting: The invocation that met it all the time.
        deliveries: The invocations by which the queued call was tried while the fault lasted.
        before: Orders before the fault.
        while_lasting: Orders while the fault lasted.
        failed: Calls in FailedCallQueue while it lasted.
        replayed: Orders after the fault, when FailedCallQueue had been replayed.
        failed_again: Calls that were then still in FailedCallQueue.
        repeated: Orders after all calls had been delivered once more.
        strangers: Requests that went to somebody else.
    """

    passing: Invocation | None
    signed: list[str]
    lasting: Invocation
    deliveries: list[Invocation]
    before: list[str]
    while_lasting: list[str]
    failed: list[dict[str, Any]]
    replayed: list[str]
    failed_again: list[dict[str, Any]]
    repeated: list[str]
    strangers: int


DIRECT, QUEUED, ONCE = "direct", "queued", "once"


def examine(case: Case, world: World) -> Finding:
    """Let a fault happen once, let it last, mend it, replay what failed, and deliver everything again."""
    case.prepare(world)
    passing, start = None, len(world.provider.api.requests)
    if case.passing is not None:
        with case.inject(world, False):
            passing = world.invoke(case.call(ONCE))
    signed = [request.headers["Authorization"] for request in world.provider.api.requests[start:]]
    before = world.ordered()
    if case.cold:
        world.restart()
    queued = case.call(QUEUED)
    with case.inject(world, True):
        lasting = world.invoke(case.call(DIRECT))
        world.put(queued)
        deliveries = world.deliver()
    while_lasting, failed = world.ordered(), world.failed()
    # Nobody replays at once. A failure to get a session, for one, answers for others for some seconds.
    time.sleep(paced(10))
    world.queues.replay()
    world.deliver()
    replayed, failed_again = world.ordered(), world.failed()
    world.queues.replay()
    world.put(queued, queued)
    world.deliver()
    return Finding(
        passing,
        signed,
        lasting,
        deliveries,
        before,
        while_lasting,
        failed,
        replayed,
        failed_again,
        repeated=world.ordered(),
        strangers=len(world.stranger.requests),
    )


def examine_all(folder: Path) -> dict[str, Finding]:
    """Examine all cases, several at a time, each in a world of its own."""
    # Neighbours have much in common: apart, those that wait run beside those that compute.
    cases = [case for start in range(_AT_A_TIME) for case in CASES[start::_AT_A_TIME]]
    with Ground.laid(folder) as ground, ThreadPoolExecutor(_AT_A_TIME) as threads:

        def run(case: Case) -> Finding:
            world = World(ground, receives=case.receives)
            try:
                return examine(case, world)
            finally:
                world.stop()

        return dict(zip((case.fault for case in cases), threads.map(run, cases), strict=True))
