"""Execution environments of the caller: one process that has imported what is slow to import, and forks.

`python -m tests.faults.fork_server SOCKET` listens on a Unix socket. Each connection is an environment, one process.
The first line it gets says what environment it is. Then each line is an event, and is answered with what became of it.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import socket
import sys
import uuid
from dataclasses import dataclass, field
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import aws_lambda_powertools.metrics  # noqa: F401 - imported for those that are forked
import boto3  # noqa: F401
from botocore.config import Config
from tenacity import wait_random_exponential

from cross_account_api import client as api
from cross_account_api import credentials
from cross_account_api import response as answer


@dataclass
class Context:
    """What Lambda tells a function about an invocation."""

    timeout: float
    started: float = field(default_factory=monotonic)
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_name: str = "CallerFunction"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:222222222222:function:CallerFunction"

    def get_remaining_time_in_millis(self) -> int:
        return int((self.started + self.timeout - monotonic()) * 1000)


class Clock:
    """Sleeps as the caller asks, and adds up for how long."""

    def __init__(self) -> None:
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        sleep(seconds)


def quicken(pace: float) -> None:
    """Divide every duration that the caller knows; how they relate to each other stays, as far as tests look at it.

    Connecting, and STS, get three times their share: on a busy machine a TLS handshake takes its time.
    """
    api._CONNECT_SECONDS *= 3 / pace
    for module, *names in (
        (api, "_READ_SECONDS", "_SHORTEST_ATTEMPT"),
        (credentials, "_SHARED_FAILURE_SECONDS", "_PROVEN_SECONDS"),
    ):
        for name in names:
            setattr(module, name, getattr(module, name) / pace)
    api._BACKOFF = wait_random_exponential(multiplier=api._BACKOFF.multiplier / pace, max=api._BACKOFF.max / pace)
    sts = credentials._STS_CONFIG
    timeouts = {name: getattr(sts, name) * 3 / pace for name in ("connect_timeout", "read_timeout")}
    credentials._STS_CONFIG = sts.merge(Config(**timeouts))
    quickened = SimpleNamespace(sleep=lambda seconds: sleep(seconds / pace))
    setattr(importlib.import_module("botocore.endpoint"), "time", quickened)  # noqa: B010 - the stubs know no such name
    parse = answer.parse_retry_after
    answer.parse_retry_after = lambda value: None if (asked := parse(value)) is None else asked / pace


def serve(connection: io.BufferedRWPair) -> None:
    """Be an execution environment until the connection ends."""
    line = connection.readline()
    if not line:
        return
    given = json.loads(line)
    os.environ.clear()
    os.environ.update(given["variables"])
    quicken(given["pace"])
    sys.stdout = io.StringIO()
    handler: Any = importlib.import_module("caller.handler")
    handler._MARGIN_SECONDS /= given["pace"]
    clock = Clock()
    api.RETRYING.sleep = clock.sleep
    _write(connection, {"pid": os.getpid()})
    for line in connection:
        sys.stdout.seek(0)
        sys.stdout.truncate()
        context = Context(given["timeout"])
        clock.slept = 0.0
        outcome: dict[str, Any]
        try:
            outcome = {"result": handler.handler(json.loads(line), context)}
        except Exception as error:
            outcome = {"error": type(error).__name__, "message": str(error)}
        outcome["slept"] = clock.slept
        outcome["seconds"] = context.timeout - context.get_remaining_time_in_millis() / 1000
        _write(connection, {"outcome": outcome, "printed": sys.stdout.getvalue()})


def _write(connection: io.BufferedRWPair, message: dict[str, Any]) -> None:
    connection.write(json.dumps(message).encode() + b"\n")
    connection.flush()


def main(path: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                with connection, connection.makefile("rwb") as stream:
                    serve(stream)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
