"""Mixed load with faults for some minutes, in real time: `python -m tests.faults.soak [MINUTES]`.

One execution environment processes batches of ten messages: orders, reads, poison. A tenth of all requests to the API
and to STS meet a fault, and now and then all sessions expire early. In the end every order must exist once or its call
must be in FailedCallQueue, and the memory of the environment must not have grown.
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
from tests.faults.testbed import Shared, TestBed, order
from tests.support.aws.gateway import gateway_error
from tests.support.aws.sts import sts_error

_SHARE = 0.1
_EXPIRY = 0.02
_GROWTH_BYTES = 3_000_000
# No huge responses: they would hide growth in the tens of megabytes by which they move the heap.
_API_FAULTS = [
    faults.reset_after_request,
    faults.reset_after_work,
    faults.cut_head,
    faults.cut_body,
    faults.truncated_json,
    faults.not_http,
    faults.responding(gateway_error(429)),
    faults.responding(gateway_error(429, {"Retry-After": "1"})),
    faults.responding(gateway_error(500)),
    faults.responding(gateway_error(503, {"Retry-After": "1"})),
    faults.responding(gateway_error(504)),
    faults.responding(gateway_error(400)),
]
_STS_FAULTS = [
    faults.reset_after_request,
    faults.responding(sts_error(400, "Throttling", "Rate exceeded")),
    faults.responding(sts_error(503, "ServiceUnavailable", "down")),
]


@dataclass
class Figures:
    """Counts, and the median memory of the environment in bytes in each quarter of the time.

    A call that is neither an order nor in FailedCallQueue is lost.
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
        """Whether nothing is lost, nothing exists twice, and the memory has not grown since the second quarter."""
        return not self.lost and not self.twice and self.quarters[3] - self.quarters[1] < _GROWTH_BYTES


def soak(seconds: float) -> Figures:
    """Put load on one execution environment for a number of seconds."""
    figures = Figures()
    memory: list[int] = []
    keys: list[str] = []
    draw = random.Random(2026)  # noqa: S311 - the same faults every time
    with tempfile.TemporaryDirectory() as folder, Shared.create(Path(folder)) as shared:
        bed = TestBed(shared, speedup=1)
        try:
            bed.provider.api.inject(faults.random_faults(_API_FAULTS, _SHARE, draw.random))
            bed.provider.sts.inject(faults.random_faults(_STS_FAULTS, _SHARE, draw.random))
            start = time.monotonic()
            while time.monotonic() - start < seconds:
                orders = [f"call-{len(keys) + number}" for number in range(7)]
                keys += orders
                bed.put(*map(order, orders), {"path": "/whoami"}, {"path": "/orders", "query": {"limit": 5}})
                bed.queues.put(json.dumps({"path": "/whoami", "poison": len(keys)}))
                figures.calls += 10
                for invocation in bed.deliver():
                    _add(invocation, figures)
                memory.append(bed.environment.resident_bytes)
                if draw.random() < _EXPIRY:
                    bed.provider.expire_sessions()
            figures.seconds = time.monotonic() - start
            _count(bed, keys, figures)
        finally:
            bed.stop()
    quarter = len(memory) // 4
    figures.quarters = [statistics.median(memory[number * quarter : (number + 1) * quarter]) for number in range(4)]
    return figures


def _add(invocation: Invocation, figures: Figures) -> None:
    if invocation.error:
        raise RuntimeError(f"{invocation.error}: {invocation.message}")
    figures.metrics.update(invocation.metrics)


def _count(bed: TestBed, keys: list[str], figures: Figures) -> None:
    orders = Counter(bed.ordered())
    failed = bed.failed()
    queued = {call["idempotency_key"] for call in failed if "idempotency_key" in call}
    figures.orders = len(orders)
    figures.failed = len(failed)
    figures.lost = len(set(keys) - set(orders) - queued)
    figures.twice = sum(count > 1 for count in orders.values())
    figures.requests = len(bed.provider.api.requests)


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
