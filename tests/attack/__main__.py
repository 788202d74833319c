"""Attack for some minutes: `python -m tests.attack 60`. It ends by itself, or at the first finding."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import monotonic

import pytest

os.nice(15)
os.environ.setdefault("ATTACK_EXAMPLES", "2000")
end = monotonic() + 60 * float(sys.argv[1] if len(sys.argv) > 1 else 60)
rounds, failed = 0, False
while monotonic() < end and not failed:
    failed = pytest.main(["-q", "-x", "-p", "no:cacheprovider", str(Path(__file__).parent)]) != 0
    rounds += 1
sys.stdout.write(
    f"{rounds} rounds of {os.environ['ATTACK_EXAMPLES']} examples for each test: {'a finding' if failed else 'none'}\n"
)
sys.exit(failed)
