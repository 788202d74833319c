"""Who may call what: for the templates as they are, or with `diff BASE` for a change."""

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

import boto3
from rich.console import Console

from cross_account_access import changes, deployed, report, revisions
from cross_account_access.documents import UnknownPolicyError
from cross_account_access.engine.diff import diff
from cross_account_access.engine.fields import NotModelledError
from cross_account_access.engine.solver import UndecidedError
from cross_account_access.engine.sources import EngineError
from cross_account_access.model import Model
from cross_account_access.stack import ModelError
from cross_account_access.templates import PROJECT, Side
from cross_account_access.variants import variants

_SIDES: dict[Side, str] = {"a": "account A's stack", "b": "account B's stack", "access": "an access stack"}
_WIDTH = 110
_WORKING_COPY = "working copy"
_UNDECIDED = (
    EngineError,
    ModelError,
    NotModelledError,
    UndecidedError,
    UnknownPolicyError,
    deployed.ReadError,
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; exit code 0: access is as the contract says, or was not gained; 1: it is not; 2: not judged."""
    parser = _parser()
    given = parser.parse_args(arguments)
    console = Console(width=max(Console().width, _WIDTH), highlight=False)
    try:
        return _diff(given, console) if given.command else _report(given, console)
    except _UNDECIDED as error:
        console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False, soft_wrap=True)
    except Exception as error:  # a fault of this program is no verdict
        console.print("[bold red]cannot be judged[/]: ", end="")
        console.print(" ".join(f"{type(error).__name__}: {error}".split()), markup=False, soft_wrap=True)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cross_account_access", description=__doc__)
    for side, what in _SIDES.items():
        parser.add_argument(
            f"--profile-{side}", help=f"AWS profile to read the policies of {what} with, instead of the template"
        )
        several = "; repeat it for more than one" if side == "access" else ""
        parser.add_argument(
            f"--stack-{side}",
            action="append",
            metavar="NAME",
            help=f"name of that stack, by default the one in samconfig.toml{several}",
        )
    parser.add_argument("--output", type=Path, default=Path("build/access-report.html"), help="the page to write")
    compare = parser.add_subparsers(dest="command").add_parser(
        "diff",
        help="compare two revisions of the templates",
        epilog="exit code: 0 nothing gained, 1 something gained, 2 something not judged",
    )
    compare.add_argument("base", help="the older revision, as git names it")
    compare.add_argument("--head", help="the newer one, by default the working copy")
    compare.add_argument(
        "--template", action="append", default=[], metavar="PATH", help="a template, by default those of samconfig.toml"
    )
    compare.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a value to hold fixed, by default any"
    )
    compare.add_argument(
        "--accept", action="append", default=[], metavar="TYPE", help="a resource type to leave unjudged"
    )
    compare.add_argument("--format", choices=["terminal", "markdown", "json", "sarif"], default="terminal")
    compare.add_argument("--allow-gain", action="store_true", help="exit with 0 even if access was gained")
    return parser


def _report(given: argparse.Namespace, console: Console) -> int:
    stacks = {side: getattr(given, f"stack_{side}") or [_stack_name(side)] for side in _SIDES}
    profiles = {side: name for side in _SIDES if (name := getattr(given, f"profile_{side}"))}
    sessions = {side: boto3.Session(profile_name=name) for side, name in profiles.items()}
    models = _deployed(sessions, stacks) if sessions else variants()
    found = report.examine(models, _facts(models, stacks), all_access_stacks=bool(sessions))
    report.write(found, console, given.output)
    return 0 if found.good else 1


def _deployed(sessions: dict[Side, boto3.Session], stacks: dict[Side, list[str]]) -> dict[str, Model]:
    """Read what is deployed: a model for each access stack, or one without any."""
    one_each = {side: names[-1] for side, names in stacks.items()}
    if "access" not in sessions:
        return {"deployed": deployed.read(sessions, one_each)}
    return {f"deployed, {name}": deployed.read(sessions, {**one_each, "access": name}) for name in stacks["access"]}


def _diff(given: argparse.Namespace, console: Console) -> int:
    folder = revisions.repository_of(Path.cwd()) if given.template else PROJECT
    files = [revisions.files_of(folder, revision) for revision in (given.base, given.head)]
    if given.template:
        templates = [str(Path(path).resolve().relative_to(folder)) for path in given.template]
    else:
        templates = list(dict.fromkeys(name for each in files for name in revisions.configured(each)))
    parameters = dict(item.split("=", 1) for item in given.parameter)
    base, head = (revisions.sources(each, templates, parameters) for each in files)
    if missing := set(templates) - {source.name for source in (*base, *head)}:
        raise revisions.RevisionError(f"Neither revision has {', '.join(sorted(missing))}")
    if unknown := set(parameters) - {name for source in (*base, *head) for name in source.parameters}:
        raise revisions.RevisionError(f"No template has the parameter {', '.join(sorted(unknown))}")
    found = diff(base, head, accept=given.accept)
    names = given.base, given.head or _WORKING_COPY
    match given.format:
        case "terminal":
            console.print(changes.terminal(found))
        case "markdown":
            sys.stdout.write(changes.markdown(found, *names))
        case "json":
            sys.stdout.write(changes.as_json(found, *names) + "\n")
        case "sarif":
            texts = {name: (files[1](name) or b"").decode(errors="replace") for name in templates}
            sys.stdout.write(changes.sarif(found, texts) + "\n")
    if found.exit_code == 1 and given.allow_gain:
        return 2 if found.not_judged else 0
    return found.exit_code


def _facts(models: dict[str, Model], stacks: dict[Side, list[str]]) -> dict[str, str]:
    known = next(iter(models.values())).stacks
    return {
        "Stacks": ", ".join(name for side, names in stacks.items() if side in known for name in names),
        "Revision": _revision(),
        "Parameters": ", ".join(models),
    }


def _stack_name(side: Side) -> str:
    """Return the name in samconfig.toml."""
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())
    section = side if side == "access" else f"account-{side}"
    return str(config[section]["deploy"]["parameters"]["stack_name"])


def _revision() -> str:
    """Return the revision of the working copy, and whether it has changes."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty=, with uncommitted changes"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "not in git"


if __name__ == "__main__":
    sys.exit(main())
