"""Waiting for something that happens soon."""

from collections.abc import Callable
from time import monotonic, sleep


def eventually[T](look: Callable[[], T], seconds: float = 600) -> T:
    """Call a function until its result is true, and return the last result; far more time than any machine needs."""
    deadline = monotonic() + seconds
    while not (seen := look()) and monotonic() < deadline:
        sleep(0.1)
    return seen
