"""How fast time passes in this suite: every duration that caller and templates know is divided by the same number."""

PACE = 10


def paced(seconds: float) -> float:
    """Return how long something takes here that takes `seconds` in an AWS account."""
    return seconds / PACE
