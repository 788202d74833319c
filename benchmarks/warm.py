"""A call with a session and an open connection."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from unittest import mock

from benchmarks.baselines import warm
from benchmarks.measure import Row, interleave
from benchmarks.server import EXECUTOR_ROLE_ARN, SESSION_NAME, Server
from cross_account_api import Call, Client
from cross_account_lab.judge.sts import EXTERNAL_ID, REGION

_CALLS = 25
"""A turn is the median of that many calls; the copied guide's are slow, so it makes one."""


def ours(server: Server, path: str) -> warm.Client:
    """The caller's client."""
    client = Client(
        server.api_url, role_arn=EXECUTOR_ROLE_ARN, external_id=EXTERNAL_ID, session_name=SESSION_NAME, region=REGION
    )
    call = Call.parse({"path": path})

    def send() -> tuple[int, object]:
        response = client.send(call)
        return response.status, response.body

    return send


CLIENTS = {
    "ours": ours,
    "unsigned": warm.unsigned,
    "guide": warm.guide,
    "botocore": warm.botocore_urllib3,
    "awscurl": warm.awscurl,
    "httpx": warm.httpx_aws_auth,
}


def measure(server: Server, turns: int) -> Iterator[Row]:
    """Compare a call of our client with one of each other client."""
    with mock.patch.dict(os.environ, server.environment()):
        for name, factory in CLIENTS.items():
            status, _ = factory(server, "/whoami" if name == "unsigned" else "/verified")()
            if status != 200:
                raise RuntimeError(f"{name} does not sign as AWS does: {status}")
        calls = {name: factory(server, "/whoami") for name, factory in CLIENTS.items()}
        for call in calls.values():
            call()
        times = interleave(
            {name: partial(_p50, call, 1 if name == "guide" else _CALLS) for name, call in calls.items()},
            turns,
        )
    for name, against, target in (
        ("unsigned", "unsigned requests.Session with the same settings", 1.40),
        ("guide", "the copied AWS guide: new client, AssumeRole, new connection", 1 / 50),
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
