"""`sam local` in one command: a lab in containers, and a function run in the real Lambda runtime against it.

With an event, the function that it is meant for is invoked once: `python -m lab.containers events/direct-call.json`;
what follows `--` goes to `sam local invoke`. Without one, warm containers stay behind `sam local start-lambda`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import demo
from lab.containers.image import RuntimeImageError
from lab.containers.lab import ACCOUNTS, ContainerLab
from lab.emulator import EmulatorError
from lab.sam import SamError

VARIABLES: dict[str, dict[str, str]] = {
    # The events in events/ are requests by sessions of this role, which no stack has.
    "OrdersFunction": {"EXECUTOR_ROLE_IDS": "AROAEXECUTOREXAMPLE1"},
    "CallerFunction": {},
}
_EXAMPLES = {"OrdersFunction": "events/api-whoami.json", "CallerFunction": "events/direct-call.json"}


def function_for(event: Any) -> str:
    """Tell which function an event is meant for.

    Args:
        event: The event.

    Returns:
        The function's logical id: the API's backend for a request as API Gateway sends it, the caller for all else.
    """
    return "OrdersFunction" if isinstance(event, dict) and "httpMethod" in event else "CallerFunction"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The command's arguments; by default, this process's.

    Returns:
        Exit code: 0 if the function succeeded, 1 if it failed or could not be run, 130 if it was interrupted before.
    """
    parser = argparse.ArgumentParser(prog="python -m lab.containers", description=__doc__)
    parser.add_argument("event", nargs="?", type=Path, help="a file with an event, such as those in events/")
    parser.add_argument("sam", nargs="*", help="further arguments of sam local invoke, after --")
    parsed = parser.parse_args(arguments)

    # Both ways of stopping unwind what was started, even where a shell starts background jobs with Ctrl-C ignored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    # Whatever the user has set up for AWS, the lab is not meant by it.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    # Only the answer goes to standard output.
    console = Console(stderr=True, width=100, highlight=False)
    try:
        event = json.loads(parsed.event.read_text()) if parsed.event else None
        with ContainerLab.start(step=partial(demo.progress, console)) as lab:
            console.print(f"image: {lab.image.name}", soft_wrap=True)
            if parsed.event:
                return _invoke(lab, function_for(event), parsed.event, parsed.sam)
            return _stay(lab, console)
    except (OSError, json.JSONDecodeError, EmulatorError, RuntimeImageError, SamError) as error:
        console.print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _invoke(lab: ContainerLab, function: str, event: Path, arguments: Sequence[str]) -> int:
    properties = {"Environment": VARIABLES[function]}
    invocation = lab.invoke(function, event, *arguments, properties=properties, log=None)
    sys.stdout.write(f"{invocation.output}\n")
    return 1 if invocation.failed else 0


def _stay(lab: ContainerLab, console: Console) -> int:
    with ExitStack() as stack:
        console.print("\nRunning until Ctrl-C. Enter builds the functions again; warm containers follow.\n")
        for function in ACCOUNTS:
            template = lab.template(function, {function: {"Environment": VARIABLES[function]}})
            url = stack.enter_context(lab.serving("start-lambda", function, template, "--warm-containers", "LAZY"))
            event = _EXAMPLES[function]
            console.print(f"  curl -d @{event} {url}/2015-03-31/functions/{function}/invocations", soft_wrap=True)
        for _ in sys.stdin:
            try:
                with demo.progress(console, "sam build"):
                    lab.build()
            except SamError as error:  # such as a typing error; the next edit mends it
                console.print(str(error), markup=False, soft_wrap=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
