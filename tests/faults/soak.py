"""Mixed load with faults for some minutes, at the real pace: `python -m tests.faults.soak [MINUTES]`.

One execution environment works off batches of ten messages: orders, reads, poison. A tenth of all requests to the API
and to STS meet a fault, and now and then all sessions expire before their time. In the end every order must exist once
or its call wait in FailedCallQueue, and the environment must not have grown.
"""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.faults import faults
from tests.faults.environment import Invocation
from tests.faults.account_a import gateway_error, sts_error
from tests.faults.testbed import Ground, World, order

_SHARE = 0.1
_EXPIRY = 0.02
_GROWTH_BYTES = 3_000_000
# No huge answers: they move the heap by tens of megabytes up and down, in which growth would not be seen.
_API_FAULTS = [
    faults.reset_after_request,
    faults.reset_after_work,
    faults.cut_head,
    faults.cut_body,
    faults.truncated_json,
    faults.not_http,
    faults.answering(gateway_error(429)),
    faults.answering(gateway_error(429, {"Retry-After": "1"})),
    faults.answering(gateway_error(500)),
    faults.answering(gateway_error(503, {"Retry-After": "1"})),
    faults.answering(gateway_error(504)),
    faults.answering(gateway_error(400)),
]
_STS_FAULTS = [
    faults.reset_after_request,
    faults.answering(sts_error(400, "Throttling", "Rate exceeded")),
    faults.answering(sts_error(503, "ServiceUnavailable", "down")),
]


@dataclass
class Figures:
    """What the soak came to.

    Attributes:
        calls: Calls that were put into CallQueue.
        orders: Those of them that are orders.
        failed: Those of them that wait in FailedCallQueue.
        lost: Those of them that are neither.
        twice: Orders that exist more than once.
        requests: Requests that the API read.
        metrics: Sums of the function's metrics.
        seconds: How long it took.
        quarters: Memory of the environment in bytes, the median of each quarter of the time.
    """

    calls: int = 0
    orders: int = 0
    failed: int = 0
    lost: int = 0
    twice: int = 0
    requests: int = 0
    metrics: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    quarters: list[float] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing is lost, nothing is there twice, and the environment has not grown."""
        # The first quarter is the time to warm up.
        return not self.lost and not self.twice and self.quarters[3] - self.quarters[1] < _GROWTH_BYTES


def soak(seconds: float) -> Figures:
    """Put load on one execution environment.

    Args:
        seconds: For how long.

    Returns:
        The figures.
    """
    figures = Figures()
    memory: list[int] = []
    keys: list[str] = []
    draw = random.Random(2026)  # noqa: S311 - the same faults every time
    with tempfile.TemporaryDirectory() as folder, Ground.laid(Path(folder)) as ground:
        world = World(ground, pace=1)
        try:
            world.provider.api.misbehave(faults.chances(_API_FAULTS, _SHARE, draw.random))
            world.provider.sts.misbehave(faults.chances(_STS_FAULTS, _SHARE, draw.random))
            start = time.monotonic()
            while time.monotonic() - start < seconds:
                orders = [f"call-{len(keys) + number}" for number in range(7)]
                keys += orders
                world.put(*map(order, orders), {"path": "/whoami"}, {"path": "/orders", "query": {"limit": 5}})
                world.queues.put(json.dumps({"path": "/whoami", "poison": len(keys)}))
                figures.calls += 10
                for invocation in world.deliver():
                    _take(invocation, figures)
                memory.append(world.environment.resident_bytes)
                if draw.random() < _EXPIRY:
                    world.provider.expire_sessions()
            figures.seconds = time.monotonic() - start
            _settle(world, keys, figures)
        finally:
            world.stop()
    quarter = len(memory) // 4
    figures.quarters = [statistics.median(memory[number * quarter : (number + 1) * quarter]) for number in range(4)]
    return figures


def _take(invocation: Invocation, figures: Figures) -> None:
    if invocation.error:
        raise RuntimeError(f"{invocation.error}: {invocation.message}")
    figures.metrics.update(invocation.metrics)


def _settle(world: World, keys: list[str], figures: Figures) -> None:
    orders = Counter(world.ordered())
    failed = world.failed()
    waiting = {call["idempotency_key"] for call in failed if "idempotency_key" in call}
    figures.orders = len(orders)
    figures.failed = len(failed)
    figures.lost = len(set(keys) - set(orders) - waiting)
    figures.twice = sum(count > 1 for count in orders.values())
    figures.requests = len(world.provider.api.requests)


@click.command()
@click.argument("minutes", type=float, default=3)
def main(minutes: float) -> None:
    """Soak for some minutes and print the figures; fail if a call is lost, an order made twice, or memory grows."""
    with contextlib.redirect_stdout(None):
        figures = soak(minutes * 60)
    named = ("CallSucceeded", "CallFailed", "CallRetried", "CallThrottled", "AssumeRoleFailed")
    click.echo(
        f"{figures.seconds:.0f} s: {figures.calls} calls, {figures.requests} requests, {figures.orders} orders, "
        f"{figures.failed} in FailedCallQueue, {figures.lost} lost, {figures.twice} twice"
    )
    click.echo(", ".join(f"{name} {figures.metrics[name]:.0f}" for name in named))
    click.echo("memory by quarter: " + ", ".join(f"{size / 1e6:.1f} MB" for size in figures.quarters))
    sys.exit(0 if figures.passed else 1)


if __name__ == "__main__":
    main()
