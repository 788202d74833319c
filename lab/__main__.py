"""`python -m lab demo` is the guided tour; `python -m lab` leaves the lab running."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from shlex import quote

from rich.console import Console

from lab import demo
from lab.accounts import ACCOUNT_B
from lab.emulator import EmulatorError
from lab.lab import PERSON_PROFILE, STACK_NAMES, Lab
from lab.sam import SamError

_WIDTH = 100


def main() -> int:
    """Run the command line.

    Returns:
        Exit code: 0 if all went as expected, 1 if not, 130 if it was interrupted before.
    """
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument(
        "command", nargs="?", choices=["demo"], help="the guided tour; without it, leave the lab running"
    )
    arguments = parser.parse_args()

    # Both ways of stopping unwind what was started, even where a shell starts background jobs with Ctrl-C ignored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    # Whatever the user has set up for AWS, the lab is not meant by it.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(width=_WIDTH, highlight=False)
    try:
        if arguments.command == "demo":
            return 0 if demo.run(console) else 1
        return stay(console)
    except (EmulatorError, SamError) as error:
        console.print(f"[red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def stay(console: Console) -> int:
    """Leave a deployed lab running until it is interrupted.

    Args:
        console: Where to tell how to use it.

    Returns:
        Exit code 0.
    """
    with Lab.start(step=partial(demo.progress, console)) as lab:
        console.print(guide(lab), markup=False, soft_wrap=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            console.print("Stopped.")
    return 0


def guide(lab: Lab) -> str:
    """Tell how to use a running lab from another terminal.

    Args:
        lab: The lab, deployed.

    Returns:
        Commands to paste.
    """
    exports = {**lab.environment, "API_URL": lab.api_url}
    call = json.dumps({"method": "POST", "path": "/orders", "body": {"sku": "oolong"}, "idempotency_key": "by hand"})
    queue_url = lab.outputs[ACCOUNT_B]["CallQueueUrl"]
    if _has_aws_cli():
        # Version 1 of the CLI does not read the endpoint in a profile for SQS.
        aws = f"aws sqs --endpoint-url {lab.endpoint} --profile {ACCOUNT_B}"
        enqueue = f"{aws} send-message --queue-url {queue_url} --message-body '{call}'"
    else:
        # The same with what the project brings.
        enqueue = (
            f"AWS_PROFILE={ACCOUNT_B} python -c 'import boto3, sys; "
            f"boto3.client(\"sqs\").send_message(QueueUrl=sys.argv[1], MessageBody=sys.argv[2])' {queue_url} '{call}'"
        )
    return "\n".join(
        [
            "\nRunning until Ctrl-C. In another terminal, in this folder:\n",
            '  export PATH="$PWD/.venv/bin:$PATH"',
            *(f"  export {name}={quote(value)}" for name, value in exports.items()),
            "",
            f"  sam remote invoke CallerFunction --stack-name {STACK_NAMES[ACCOUNT_B]} --profile {ACCOUNT_B} "
            """--event '{"path": "/whoami"}'""",
            f"  {enqueue}",
            f"  call-api GET /orders --profile {PERSON_PROFILE}",
            "",
        ]
    )


def _has_aws_cli() -> bool:
    # A name on PATH is not enough: version managers leave one for a CLI that is not installed.
    try:
        return subprocess.run(["aws", "--version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main())
