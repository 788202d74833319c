"""`python -m cross_account_lab local`: run an event in the Lambda runtime, or keep warm containers."""

import json
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console

from cross_account_access.project import PROJECT
from cross_account_lab.console import progress
from cross_account_lab.containers import sam_local
from cross_account_lab.containers.lab import ContainerLab
from cross_account_lab.functions import function_for, read_functions
from cross_account_lab.sam import SamError


def run(console: Console, event: Path | None, arguments: Sequence[str]) -> bool:
    """Run an event with the function that it is for, and return whether it succeeded; without one, serve."""
    function = function_for(json.loads(event.read_text())) if event else None
    with ContainerLab.start(step=partial(progress, console)) as containers:
        if event and function:
            output = sam_local.invoke(containers, function, event, *arguments)
            sys.stdout.write(f"{output}\n")
            return not sam_local.has_failed(output)
        serve(console, containers)
    return True


def serve(console: Console, containers: ContainerLab) -> None:
    """Keep warm containers of all functions until interrupted; every line on standard input rebuilds them."""
    requests = max(
        (f"events/{path.name}" for path in PROJECT.glob("events/api-*.json")), default="<a file with a request>"
    )
    with ExitStack() as stack:
        console.print("\nRunning until Ctrl-C. Press Enter to rebuild; warm containers pick up the new code.\n")
        for name, function in read_functions().items():
            url = stack.enter_context(sam_local.serve(containers, function))
            event = requests if function.routes else "events/direct-call.json"
            console.print(f"  curl -d @{event} {url}/2015-03-31/functions/{name}/invocations", soft_wrap=True)
        for _ in sys.stdin:
            try:
                with progress(console, "sam build"):
                    containers.build()
            except SamError as error:  # such as a syntax error, which the next edit fixes
                console.print(str(error), markup=False, soft_wrap=True)
        threading.Event().wait()
