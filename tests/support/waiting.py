"""Waiting for something that happens soon."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep


def eventually[T](look: Callable[[], T], seconds: float = 120) -> T:
    """Call a function until its result is true or time is up, and return the last result."""
    deadline = monotonic() + seconds
    while not (seen := look()) and monotonic() < deadline:
        sleep(0.1)
    return seen
