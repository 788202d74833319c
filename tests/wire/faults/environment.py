"""An execution environment: the caller's handler as Lambda runs it, in this process and in virtual time."""

import io
import os
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from typing import Any

import pytest

from cross_account_api import Client
from tests.support.fixtures import CurrentStdout
from tests.support.lambda_context import LambdaContext
from tests.support.metrics import printed
from tests.wire.faults.clock import CLOCK, KilledError

TIMED_OUT = "Sandbox.Timedout"


@dataclass(frozen=True)
class Invocation:
    """The outcome of one invocation.

    Attributes:
        result: What the handler returned.
        error: Type of the exception that it raised, or `Sandbox.Timedout`; empty if none.
        message: The exception's message.
        seconds: How long it waited, for pauses and for others.
        logs: What it logged.
        metrics: Sums of the metrics that it emitted.
    """

    result: Any
    error: str
    message: str
    seconds: float
    logs: list[dict[str, Any]] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)

    @property
    def report(self) -> dict[str, Any]:
        """The one line that reports the call."""
        (line,) = (line for line in self.logs if line["message"] in {"call succeeded", "call failed"})
        return line


class Environment:
    """Serves one invocation after another; a new client follows one that was killed.

    Args:
        variables: Environment variables of the function.
        timeout: The function's timeout, in seconds.
    """

    def __init__(self, variables: Mapping[str, str], timeout: float) -> None:
        self.variables = variables
        self._timeout = timeout
        self._later = 0.0
        self._client: Client | None = None

    def wait(self, seconds: float) -> None:
        """Let time pass before the next invocation."""
        self._later += seconds

    def invoke(self, event: Any) -> Invocation:
        """Invoke the function; kill it when its timeout has passed."""
        CLOCK.start_invocation(self._later)
        self._later = 0.0
        result, error, message, output = None, "", "", io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
            for name in os.environ.keys() - self.variables.keys():
                patch.delenv(name)
            for name, value in self.variables.items():
                patch.setenv(name, value)
            context = LambdaContext(self._timeout, "CallerFunction")
            function = _function()
            if self._client is None:
                function._sqs.cache_clear()
                self._client = function.create_client()
            function.client = self._start_call
            try:
                result = function.handler(event, context)
            except Exception as failure:
                error, message = type(failure).__name__, str(failure)
            except KilledError:
                error = TIMED_OUT
                self.stop()
        if CLOCK.seconds >= self._timeout:
            result, error = None, TIMED_OUT
        logs, metrics = printed(output.getvalue())
        sums = Counter({name: sum(values) for name, values in metrics.items()})
        return Invocation(result, error, message, CLOCK.seconds, logs, sums)

    def stop(self) -> None:
        """End it; the next invocation starts another."""
        if self._client:
            self._client.close()
            self._client = None

    def _start_call(self) -> Client:
        CLOCK.start_call()
        assert self._client
        return self._client


@cache
def _function() -> Any:
    """Return the function's module, loaded in the environment of the first that needs it, and in virtual time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "cross_account_caller.handler", raising=False)
        function: Any = import_module("cross_account_caller.handler")
    function.logger.logger_handler.setStream(CurrentStdout())
    function.monotonic = CLOCK.monotonic
    function.Client = partial(function.Client, clock=CLOCK)
    return function
