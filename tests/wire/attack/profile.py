"""How long the attacks last: seconds in the suite, more with `ATTACK_EXAMPLES` or `python -m tests.wire.attack`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

attack = settings(
    max_examples=int(os.environ.get("ATTACK_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
