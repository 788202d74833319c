"""Command line of the lab: both accounts on a laptop, without any AWS account."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from cross_account_lab import demo, replay
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_IDS
from cross_account_lab.console import make_console, progress
from cross_account_lab.containers import command as local
from cross_account_lab.containers.image import RuntimeImageError
from cross_account_lab.emulator import EmulatorError
from cross_account_lab.judge import judge as verify
from cross_account_lab.lab import STACK_NAMES, Lab
from cross_account_lab.process import drop_aws_variables
from cross_account_lab.sam import SamError
from cross_account_lab.usage import ENV_FILE, NoLabError, environment_file, open_shell, usage

_CONSUMERS = [account for account in ACCOUNT_IDS if account != ACCOUNT_A]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 for success, 1 for failure, 130 if it was interrupted."""
    options = _parser().parse_args(arguments)
    # Both signals unwind the stack, even in a shell that starts background jobs with SIGINT ignored.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    drop_aws_variables(os.environ)
    # `local` reserves standard output for the function's response.
    console = make_console(stderr=options.command == "local")
    try:
        match options.command:
            case "demo":
                return 0 if demo.run(console) else 1
            case "serve":
                serve(console, options.consumers, options.env_file)
            case "shell":
                open_shell(options.env_file)
            case "verify":
                verify.run(options)
            case "local":
                return 0 if local.run(console, options.event, options.sam_arguments) else 1
            case "replay":
                moved = replay.run(options.env_file, options.consumer, options.stack_name)
                console.print(f"messages moved to CallQueue: {moved}")
    except (EmulatorError, NoLabError, OSError, RuntimeImageError, SamError, json.JSONDecodeError) as error:
        console.print(f"[red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def serve(console: Console, consumers: Sequence[str], env_file: Path) -> None:
    """Keep a deployed lab running until it is interrupted."""
    with Lab.start(consumers=consumers, step=partial(progress, console)) as lab, environment_file(lab, env_file):
        console.print(usage(lab, env_file), markup=False, soft_wrap=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            console.print("Stopped.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cross_account_lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="the guided tour")
    serve = commands.add_parser("serve", help="keep a lab running, for other terminals")
    serve.add_argument(
        "--consumers",
        type=_consumers,
        default=[ACCOUNT_B],
        metavar="ACCOUNTS",
        help="accounts that get template B, such as account-b,account-c",
    )
    shell = commands.add_parser("shell", help="a shell in which AWS is a running lab; `exit` ends it")
    verify.add_options(commands.add_parser("verify", help="an API on loopback that checks every signature"))
    event = commands.add_parser("local", help="run an event in the Lambda runtime, or keep warm containers")
    event.add_argument("event", nargs="?", type=Path, help="a file with an event, such as those in events/")
    event.add_argument("sam_arguments", nargs="*", help="further arguments of sam local invoke, after --")
    replay = commands.add_parser("replay", help="move the failed calls of a running lab back to the queue")
    replay.add_argument("--consumer", choices=_CONSUMERS, default=ACCOUNT_B, help="default: %(default)s")
    replay.add_argument("--stack-name", default=STACK_NAMES[ACCOUNT_B], help="default: %(default)s")
    for command in (serve, shell, replay):
        command.add_argument("--env-file", type=Path, default=ENV_FILE, help="default: %(default)s")
    return parser


def _consumers(text: str) -> list[str]:
    consumers = text.split(",")
    if set(consumers) - set(_CONSUMERS) or ACCOUNT_B not in consumers:
        raise argparse.ArgumentTypeError(f"must be account-b or account-b,account-c, not {text!r}")
    return consumers


if __name__ == "__main__":
    sys.exit(main())
