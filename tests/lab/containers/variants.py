"""The functions under test, and the names of their variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cross_account_access.model import load
from cross_account_lab.functions import read_functions

type Invoke = Callable[..., Any]
"""Invokes a function with an event and, optionally, the name of a variant; returns the payload."""

CALLER = next(function for function in read_functions().values() if function.reads_queue)
BACKEND = next(function for function in read_functions().values() if function.routes)
GET = next(
    route for route in load().routes if route.function == BACKEND.name and route.promised and route.method == "GET"
)
"""A route of the backend that consumers may call."""

PROBE_SECONDS = 20
"""Timeout of the caller's variant `Probe`."""

FAULTY = [f"FaultyApi{number}" for number in range(4)]
"""Variants of the caller whose API misbehaves, each with a container: as many calls are made at the same time."""
