"""How long the attacks last: seconds in the suite, hours with `ATTACK_EXAMPLES=20000`."""

import os

from hypothesis import HealthCheck, settings

attack = settings(
    max_examples=int(os.environ.get("ATTACK_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
attack_twice = settings(attack, max_examples=max(1, attack.max_examples // 2))
"""For the tests that run with two kinds of API."""
