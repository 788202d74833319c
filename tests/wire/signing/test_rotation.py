"""Many threads, credentials that change, midnight: no signature is wrong."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
import time_machine

from cross_account_api import Call, Client
from cross_account_lab.judge.gateway import gateway_response
from cross_account_lab.judge.loopback import Response
from cross_account_lab.judge.sigv4 import Request
from tests.wire.world import World

THREADS = 16
CALLS = [
    Call.parse({"path": "/whoami"}),
    Call.parse({"path": "/orders", "query": {"status": "accepted", "limit": 10, "cursor": "a+b/c=="}}),
    Call.parse({"path": "/orders/é 1;v=1"}),
    Call.parse({"path": "/orders", "method": "POST", "idempotency_key": "k", "body": {"sku": "ABC-1", "quantity": 2}}),
]


def call_many_times(client: Client, calls: int, between: Callable[[], None] | None = None) -> None:
    """Make calls from many threads; all wait for each other while something is done between every two rounds."""
    rounds = calls // THREADS
    together = Barrier(THREADS, between)

    def work(_: int) -> None:
        for number in range(rounds):
            if between:
                together.wait(timeout=600)
            client.send(CALLS[number % len(CALLS)])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    client.close()


def test_sessions_that_are_refreshed_all_the_time(world: World) -> None:
    # botocore refreshes a session in its last 15 minutes, while the other threads go on with the one before.
    world.sessions.lifetime = timedelta(minutes=15, seconds=-1)

    call_many_times(world.assuming_client(), 800)

    assert world.gateway.counts == {"accepted": 800}, world.gateway.refused
    assert world.sessions.refusals == []
    assert len({verdict.access_key for verdict in world.gateway.verdicts}) >= 5


def test_sessions_that_end_early_are_replaced(world: World) -> None:
    keys = world.gateway.keys
    client, rounds = world.assuming_client(), iter(range(1000))

    def end_sessions() -> None:
        if next(rounds) % 10 == 9:  # a client gives up if its new session is refused at once
            over = datetime.min.replace(tzinfo=UTC)
            keys.update({key: replace(keys[key], expires=over) for key in world.sessions.names})

    call_many_times(client, 800, end_sessions)

    assert world.gateway.counts.keys() == {"accepted", "ExpiredTokenException"}, world.gateway.refused
    assert world.gateway.counts["accepted"] == 800
    assert len(world.sessions.names) == 1 + 5


def test_midnight(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with time_machine.travel("2027-12-31T23:59:59.800Z", tick=False) as clock:

        def answer(_: Request) -> Response:
            clock.shift(0.0005)
            return gateway_response(200, {})

        world.gateway.answer = answer
        call_many_times(world.client(), 800)

    assert world.gateway.counts == {"accepted": 800}, world.gateway.refused
    days = {verdict.request.values("x-amz-date")[0][:8] for verdict in world.gateway.verdicts}
    assert days == {"20271231", "20280101"}
