"""A call with everything at hand: a session, an open connection."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from functools import partial
from time import monotonic, perf_counter
from unittest import mock

from benchmarks.baselines import warm
from benchmarks.measure import Row, take_turns
from benchmarks.server import Server
from caller.settings import Settings
from cross_account_api.call import Call
from cross_account_api.client import ApiClient
from cross_account_api.credentials import ExecutorCredentials

_CALLS = 25
"""A turn is the median of so many calls, but one of the guide's, which are slow."""


def ours(server: Server, path: str) -> warm.Client:
    """The caller's client."""
    settings = Settings.from_environment(server.environment())
    client = ApiClient(settings.api_url, settings.api_region, ExecutorCredentials(settings))
    call = Call.parse({"path": path})

    def send() -> tuple[int, object]:
        answer = client.send(call, monotonic() + 90)
        return answer.status, answer.body

    return send


CONTESTANTS = {
    "ours": ours,
    "unsigned": warm.unsigned,
    "guide": warm.guide,
    "botocore": warm.botocore_urllib3,
    "awscurl": warm.awscurl,
    "httpx": warm.httpx_aws_auth,
}


def measure(server: Server, turns: int) -> Iterator[Row]:
    """Compare one call of each.

    Args:
        server: What answers.
        turns: How many turns of calls each contestant takes.

    Yields:
        A row for each contestant but ours.
    """
    with mock.patch.dict(os.environ, server.environment()):
        for name, contestant in CONTESTANTS.items():
            status, _ = contestant(server, "/whoami" if name == "unsigned" else "/verified")()
            if status != 200:
                raise RuntimeError(f"{name} does not sign as AWS does: {status}")
        calls = {name: contestant(server, "/whoami") for name, contestant in CONTESTANTS.items()}
        for call in calls.values():
            call()
        times = take_turns(
            {name: partial(_p50, call, 1 if name == "guide" else _CALLS) for name, call in calls.items()},
            turns,
        )
    for name, against, target in (
        ("unsigned", "unsigned requests.Session with the same settings", 1.40),
        ("guide", "the guide's way: new client, AssumeRole, new connection", 1 / 50),
        ("botocore", "botocore's signer and urllib3", 1.0),
        ("awscurl", "awscurl as a library", 1.0),
        ("httpx", "httpx and httpx-aws-auth", 1.0),
    ):
        yield Row("signed warm call, p50", against, "ms", times["ours"], times[name], target)


def _p50(call: warm.Client, calls: int) -> float:
    """Return the median time of a call in milliseconds."""
    times = []
    for _ in range(calls):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return 1000 * statistics.median(times)
