"""`sam` in a lab's shell: the documented commands, with what the emulator needs instead of AWS."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from click import BadParameter
from samcli.cli.types import CfnParameterOverridesType

from cross_account_lab import workarounds
from cross_account_lab.accounts import ACCOUNT_B, environment, session
from cross_account_lab.emulator import CA_FILE
from cross_account_lab.sam import Sam, override, setting, stack_outputs


def write_commands(folder: Path, endpoint: str, project: Path) -> Path:
    """Write the commands of a lab's shell, and return their folder; the user's own tools stay what they are."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    python = Path(sys.executable)
    for name in ("call-api", "sam"):
        (commands / name).unlink(missing_ok=True)
    (commands / "call-api").symlink_to(python.with_name("call-api"))
    start, real = (
        " ".join(quote(str(word)) for word in words)
        for words in (
            (python, "-P", "-m", "cross_account_lab.shell", folder, endpoint, project),
            (python.with_name("sam"),),
        )
    )
    # SAM builds with the python3.13 that it finds; the user's own comes first.
    rest = f'PATH="$PATH":{quote(str(python.parent))} exec {real} "$@"'
    (commands / "sam").write_text(f'#!/bin/sh\ncase ${{1-}} in build | deploy) exec {start} "$@" ;; esac\n{rest}\n')
    (commands / "sam").chmod(0o755)
    return commands


def main(arguments: Sequence[str]) -> int:
    """Run `sam build` or `sam deploy` and return its exit code; for the project's stacks, in the lab's copy of it."""
    folder, endpoint, project, command, *others = arguments
    given, rest = _parser().parse_known_args(others)
    if not given.config_env or not Path.cwd().samefile(project):
        program = Path(sys.executable).with_name("sam")
        path = f"{os.environ['PATH']}{os.pathsep}{program.parent}"
        return subprocess.run([program, command, *others], env=os.environ | {"PATH": path}, check=False).returncode
    config_file = Path(folder) / "aws-config"
    sam = Sam(Path(folder) / "sam", environment(config_file, Path(folder) / CA_FILE), endpoint, Path(project))
    sam.copy()
    options = [command, "--config-env", given.config_env, *rest]
    if command == "build":
        return sam.in_terminal(*options)
    for name, value in (("--profile", given.profile), ("--stack-name", given.stack_name)):
        options += [name, value] if value else []
    if given.parameter_overrides:
        asked = _asked(given.parameter_overrides)
        sam.prepare(given.config_env, asked)
        completed = [override(name, value) for name, value in workarounds.completed(asked).items()]
        options += ["--parameter-overrides", *(completed or given.parameter_overrides)]
    code = sam.in_terminal(*options)
    if code == 0 and given.config_env == ACCOUNT_B:
        account = session(config_file, given.profile or setting(ACCOUNT_B, "deploy", "profile"))
        stack_name = given.stack_name or setting(ACCOUNT_B, "deploy", "stack_name")
        workarounds.complete_consumer(account, stack_outputs(account, stack_name))
    return code


def _asked(overrides: Sequence[str]) -> dict[str, str]:
    try:
        asked: dict[str, str] = CfnParameterOverridesType().convert(tuple(overrides), None, None)
    except BadParameter:  # SAM says what is wrong with it
        return {}
    return asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ("--config-env", "--profile", "--stack-name"):
        parser.add_argument(option)
    parser.add_argument("--parameter-overrides", nargs="+", action="extend")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
