"""Who may call what: `python -m access` for the templates as they are, `python -m access diff BASE` for a change."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

import boto3
from rich.console import Console

from access import deployed, report
from access.documents import UnknownPolicyError
from access.fields import NotModelledError
from access.model import Model, ModelError
from access.properties import UndecidedError
from access.templates import PROJECT, Side
from access.variants import variants

_SIDES: tuple[Side, Side] = ("a", "b")
_WIDTH = 110
_UNDECIDED = (ModelError, NotModelledError, UndecidedError, UnknownPolicyError, deployed.ReadError)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit code: 0 if access is as the contract says, 1 if not, 2 if that could not be decided.
    """
    parser = argparse.ArgumentParser(prog="python -m access", description=__doc__)
    for side in _SIDES:
        parser.add_argument(
            f"--profile-{side}",
            help=f"AWS profile to read the policies of account {side.upper()}'s stack with, instead of the template",
        )
        parser.add_argument(f"--stack-{side}", help="name of that stack, by default the one in samconfig.toml")
    parser.add_argument("--output", type=Path, default=Path("build/access-report.html"), help="the page to write")
    given = parser.parse_args(arguments)
    console = Console(width=max(Console().width, _WIDTH))
    stacks = {side: getattr(given, f"stack_{side}") or _stack_name(side) for side in _SIDES}
    profiles = {side: name for side in _SIDES if (name := getattr(given, f"profile_{side}"))}
    try:
        sessions = {side: boto3.Session(profile_name=name) for side, name in profiles.items()}
        models = {"deployed": deployed.read(sessions, stacks)} if sessions else variants()
        found = report.examine(models, _facts(models, stacks))
    except _UNDECIDED as error:
        console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    report.write(found, console, given.output)
    return 0 if found.good else 1


def _facts(models: dict[str, Model], stacks: dict[Side, str]) -> dict[str, str]:
    return {
        "Stacks": f"{stacks['a']} and {stacks['b']}",
        "Revision": _revision(),
        "Parameters": ", ".join(models),
    }


def _stack_name(side: Side) -> str:
    """Return the name in samconfig.toml."""
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())
    return str(config[f"account-{side}"]["deploy"]["parameters"]["stack_name"])


def _revision() -> str:
    """Return the revision of the working copy, and whether it has changes."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty=, with uncommitted changes"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "not in git"


if __name__ == "__main__":
    sys.exit(main())
