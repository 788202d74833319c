"""Clients for the same signed call, each written as in its own documentation.

`python -m benchmarks.peers NAME CALLS PATH AT_ONCE [--one-core]` makes calls in a process of its own, whose processor
time is therefore that client's. The environment is that of `Server.environment`.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter, process_time
from typing import Any

import httpx
import requests
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from httpx_aws_auth import AwsCredentials, AwsSigV4Auth
from requests.adapters import HTTPAdapter
from requests_aws4auth import AWS4Auth

from benchmarks.functions import PROJECT
from benchmarks.measure import Row, interleave
from benchmarks.server import ACCESS_KEY, SECRET_KEY, TOKEN, Server
from cross_account_api import Call
from cross_account_caller.handler import create_client
from cross_account_lab.judge.sts import REGION

_SECONDS = 30.0

type Send = Callable[[], Any]
"""Makes one call and returns the response's status; it runs in many threads, and in asyncio if it is a coroutine."""


def ours(path: str, _: int) -> Send:
    """The project's client, which also checks the call, assumes the role, retries and judges the response."""
    client, call = create_client(), Call.parse({"path": path})
    return lambda: client.send(call).status


def requests_aws4auth(path: str, at_once: int) -> Send:
    auth = AWS4Auth(ACCESS_KEY, SECRET_KEY, REGION, "execute-api", session_token=TOKEN)
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=at_once))

    def send() -> int:
        response = session.get(os.environ["API_URL"] + path, auth=auth, timeout=_SECONDS)
        response.json()
        return response.status_code

    return send


def botocore_urllib3(path: str, at_once: int) -> Send:
    pool = urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"], maxsize=at_once)
    signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, TOKEN), "execute-api", REGION)

    def send() -> int:
        request = AWSRequest("GET", os.environ["API_URL"] + path)
        signer.add_auth(request)
        response = pool.request("GET", str(request.url), headers=dict(request.headers), timeout=_SECONDS)
        response.json()
        return response.status

    return send


def httpx_asyncio(path: str, at_once: int) -> Send:
    auth = AwsSigV4Auth(AwsCredentials(ACCESS_KEY, SECRET_KEY, TOKEN), REGION)
    trusted = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    client = httpx.AsyncClient(auth=auth, verify=trusted, timeout=_SECONDS, limits=limits)
    free = asyncio.Semaphore(at_once)  # httpx's own limit reads the list of all that wait, each time

    async def send() -> int:
        async with free:
            response = await client.get(os.environ["API_URL"] + path)
            response.json()
            return response.status_code

    return send


PEERS = {
    "ours": ours,
    "requests and AWS4Auth, in threads": requests_aws4auth,
    "botocore's signer and urllib3, in threads": botocore_urllib3,
    "httpx in asyncio": httpx_asyncio,
}


_CALLS, _AT_ONCE = 1000, 32
_WAYS: dict[str, dict[str, tuple[object, ...]]] = {
    "warm": {"one after another": ("/whoami", 1)},
    "bulk": {
        f"{_AT_ONCE} at a time": ("/delay/20", _AT_ONCE),
        f"{_AT_ONCE} at a time on one core": ("/delay/20", _AT_ONCE, "--one-core"),
    },
}


def measure(server: Server, group: str, turns: int = 7) -> Iterator[Row]:
    """Compare clients by the time of all calls and the processor time of each; many are to an API that takes 20 ms."""
    for way, arguments in _WAYS[group].items():
        times = interleave({name: partial(in_process, server, name, _CALLS, *arguments) for name in PEERS}, turns)
        for name in list(PEERS)[1:]:
            for what, unit in ((f"{_CALLS} calls, {way}", "s"), ("processor time of each", "ms")):
                ours, theirs = ([turn[unit] for turn in times[each]] for each in ("ours", name))
                yield Row(what, name, unit, ours, theirs, 1.0)


def in_process(server: Server, *arguments: object) -> dict[str, float]:
    """Run `main` in another process."""
    command = [sys.executable, "-m", "benchmarks.peers", *map(str, arguments)]
    environment = os.environ | server.environment()
    times: dict[str, float] = json.loads(subprocess.check_output(command, cwd=PROJECT, env=environment, timeout=120))
    return times


def main(name: str, calls: int, path: str, at_once: int) -> None:
    """Open connections, make calls, and report the seconds of all and the milliseconds of processor time of each."""
    send = PEERS[name](path, at_once)

    async def in_tasks(number: int) -> list[Any]:
        return await asyncio.gather(*(send() for _ in range(number)))

    with asyncio.Runner() as loop, ThreadPoolExecutor(at_once) as threads:

        def make(number: int) -> set[int]:
            if asyncio.iscoroutinefunction(send):
                return set(loop.run(in_tasks(number)))
            return set(threads.map(lambda _: send(), range(number)))

        make(at_once)
        start, processor = perf_counter(), process_time()
        statuses = make(calls)
        report = {"s": perf_counter() - start, "ms": 1000 * (process_time() - processor) / calls}
    if statuses != {200}:
        raise RuntimeError(f"calls failed: {statuses}")
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    if "--one-core" in sys.argv:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
