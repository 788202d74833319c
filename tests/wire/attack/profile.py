"""How long the attacks last: seconds in the suite, hours with `ATTACK_EXAMPLES=20000`."""

import os

from hypothesis import HealthCheck, settings

attack = settings(
    max_examples=int(os.environ.get("ATTACK_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
