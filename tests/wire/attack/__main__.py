"""Attack for some minutes, or until a finding: `python -m tests.wire.attack 60 [test_events.py …]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import monotonic

import pytest

os.nice(15)
os.environ.setdefault("ATTACK_EXAMPLES", "2000")
minutes, files = float((sys.argv[1:] or ["60"])[0]), sys.argv[2:] or [""]
end = monotonic() + 60 * minutes
rounds, failed = 0, False
while monotonic() < end and not failed:
    failed = (
        pytest.main(["-q", "-x", "-p", "no:cacheprovider", *(str(Path(__file__).parent / file) for file in files)]) != 0
    )
    rounds += 1
sys.stdout.write(
    f"{rounds} rounds of {os.environ['ATTACK_EXAMPLES']} examples a test: {'a' if failed else 'no'} finding\n"
)
sys.exit(failed)
