"""Many threads, credentials that change, midnight: no signature is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from cross_account_api import Call, Client
from cross_account_api.credentials import AssumedRoleCredentials
from cross_account_api.credentials import Credentials as ClientCredentials
from cross_account_api.transport import Connections
from cross_account_lab.judge.gateway import Gateway
from cross_account_lab.judge.loopback import Server
from cross_account_lab.judge.sigv4 import Credentials
from cross_account_lab.judge.sts import CALLER_ENVIRONMENT, EXTERNAL_ID, REGION, Sts
from tests.wire.signing.apis import FixedCredentials

THREADS = 16
CALLS = [
    Call.parse({"path": "/whoami"}),
    Call.parse({"path": "/orders", "query": {"status": "accepted", "limit": 10, "cursor": "a+b/c=="}}),
    Call.parse({"path": "/orders/é 1;v=1"}),
    Call.parse({"path": "/orders", "method": "POST", "idempotency_key": "k", "body": {"sku": "ABC-1", "quantity": 2}}),
]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway({})


@pytest.fixture
def api_url(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server(gateway) as server:
        gateway.regions[f"127.0.0.1:{server.port}"] = REGION
        yield f"{server.url}/v1"


@contextmanager
def sessions_of(sts: Sts) -> Iterator[AssumedRoleCredentials]:
    """Provide the client's own credentials, with STS on loopback."""
    with Server(sts) as server, pytest.MonkeyPatch.context() as environment:
        for name, value in (CALLER_ENVIRONMENT | {"AWS_ENDPOINT_URL_STS": server.url}).items():
            environment.setenv(name, value)
        role = "arn:aws:iam::111111111111:role/executor"
        yield AssumedRoleCredentials(role, external_id=EXTERNAL_ID, session_name="222222222222-stack")


def call_many_times(
    api_url: str, credentials: ClientCredentials, calls: int, disturb: Callable[[list[int]], None] = lambda _: None
) -> None:
    """Make calls from many threads, and call `disturb` with how many each has made, until all are done."""
    share = calls // THREADS
    made = [0] * THREADS

    def work(thread: int) -> None:
        for number in range(share):
            client.send(CALLS[number % len(CALLS)])
            made[thread] = number + 1

    with closing(Connections(api_url, THREADS)) as connections, ThreadPoolExecutor(THREADS) as pool:
        client = Client(api_url, region=REGION, credentials=credentials, transport=connections)
        workers = [pool.submit(work, thread) for thread in range(THREADS)]
        while wait(workers, timeout=0.01).not_done:
            disturb(made)
        for worker in workers:
            worker.result()


def test_sessions_that_are_refreshed_all_the_time(api_url: str, gateway: Gateway) -> None:
    # botocore refreshes a session in its last 15 minutes.
    sts = Sts(gateway.keys, lifetime=timedelta(minutes=15, milliseconds=200))
    with sessions_of(sts) as credentials:
        call_many_times(api_url, credentials, 8000)
    assert gateway.verdicts == {"accepted": 8000}, gateway.refusals
    assert sts.refusals == []
    assert len(sts.names) >= 5


def test_sessions_that_end_early_are_replaced(api_url: str, gateway: Gateway) -> None:
    sts = Sts(gateway.keys, lifetime=timedelta(hours=1))

    since: dict[str, list[int]] = {}
    seen: set[str] = set()

    def end_session(made: list[int]) -> None:
        # Not before all threads have it, in their second call since: a client gives up if its new session is refused.
        for key, before in list(since.items()):
            if all(now >= min(then + 2, 4000 // THREADS) for now, then in zip(made, before, strict=True)):
                gateway.keys[key] = replace(gateway.keys[key], expires=datetime.min.replace(tzinfo=UTC))
                del since[key]
        since.update({key: list(made) for key in sts.names if key not in seen})
        seen.update(since)

    with sessions_of(sts) as credentials:
        call_many_times(api_url, credentials, 4000, end_session)
    assert gateway.verdicts.keys() == {"accepted", "ExpiredTokenException"}, gateway.refusals
    assert gateway.verdicts["accepted"] == 4000
    assert len(sts.names) >= 4


def test_midnight(api_url: str, gateway: Gateway) -> None:
    gateway.keys["AKIDEXAMPLE"] = Credentials("secret", "token")
    with time_machine.travel("2027-12-31T23:59:59.995Z", tick=True) as clock:
        call_many_times(
            api_url,
            FixedCredentials("AKIDEXAMPLE", "secret", "token"),
            8000,
            lambda _: clock.move_to("2027-12-31T23:59:59.995Z"),
        )
    assert gateway.verdicts == {"accepted": 8000}, gateway.refusals
    assert gateway.days.keys() == {"20271231", "20280101"}
