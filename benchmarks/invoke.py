"""Runs a function like Lambda, in a process of its own: imports it and passes it one event after another.

It can import only the function's package and the modules of the runtime. Events are lines of JSON on standard input; a
report of each goes to standard error.
"""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace


def main(function: str, start: float) -> None:
    """Invoke a handler (`package.module.function`) once for each line of standard input."""
    module, _, name = function.rpartition(".")
    context = SimpleNamespace(
        function_name="function",
        function_version="$LATEST",
        invoked_function_arn="arn:aws:lambda:eu-west-1:222222222222:function:function",
        memory_limit_in_mb="512",
        aws_request_id="00000000-0000-4000-8000-000000000000",
        log_group_name="group",
        log_stream_name="stream",
        get_remaining_time_in_millis=lambda: 90_000,
    )
    handler = getattr(import_module(module), name)
    cpu = 0.0
    for line in sys.stdin:
        event = json.loads(line)
        result = handler(event, context)
        now, cpu_now = time.monotonic(), time.process_time()
        report = {"result": result, "seconds": now - start, "cpu_seconds": cpu_now - cpu, "peak_mib": _peak() / 1024}
        sys.stderr.write(json.dumps(report) + "\n")
        start, cpu = time.monotonic(), time.process_time()


def _peak() -> int:
    """Return the peak memory of this process in KiB; the resource module would include its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
