"""How to use a running lab from another terminal: a shell of its own, a file to source, and commands to try."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import NoReturn

import certifi

from cross_account_access.project import PROJECT
from cross_account_lab.accounts import ACCOUNT_B, REGION
from cross_account_lab.functions import example_path
from cross_account_lab.lab import STACK_NAMES, USER_PROFILE, Lab
from cross_account_lab.process import without_proxy
from cross_account_lab.shell import write_commands

ENV_FILE = PROJECT / "build/lab.env"

# `unset` of zsh wants a name, even if no variable of AWS_* is set.
_UNSET = r"unset AWS_PROFILE $(env | sed -n 's/^\(AWS_[A-Za-z0-9_]*\)=.*/\1/p')"


class NoLabError(Exception):
    """No lab is running."""


def lab_folder(env_file: Path) -> Path:
    """Return the folder of the running lab that has written a file."""
    folder = env_file.resolve().parent
    if not (folder / "aws-config").exists():
        raise NoLabError(f"there is no {env_file}: start a lab with `make lab`")
    return folder


def open_shell(env_file: Path) -> NoReturn:
    """Become the user's shell, pointed to a running lab; leaving it undoes everything."""
    file = str(lab_folder(env_file) / "lab.env")
    os.execvp("sh", ["sh", "-c", '. "$0" && exec "${SHELL:-sh}"', file])  # noqa: S606 - the user's own shell


@contextmanager
def environment_file(lab: Lab, path: Path) -> Iterator[None]:
    """Provide a file that points a shell to a lab."""
    # The path is a link into the lab's folder: however the lab ends, the file ends with it.
    file = lab.folder / "lab.env"
    file.write_text(environment_script(lab))
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(file)
    try:
        yield
    finally:
        # Another lab may have replaced the link.
        if path.is_symlink() and path.readlink() == file:
            path.unlink()


def environment_script(lab: Lab) -> str:
    """Return code for any POSIX shell that unsets the user's AWS settings and sets those of a lab."""
    # `requests` takes one file for all hosts: the authorities that the user trusts anyway, plus the lab's.
    users_own = Path(os.environ.get("REQUESTS_CA_BUNDLE", ""))
    trusted = users_own if users_own.is_file() else Path(certifi.where())
    # Not ca-bundle.pem: the emulator writes a file of that name when it starts a function.
    bundle = lab.folder / "trusted.pem"
    bundle.write_text(f"{trusted.read_text()}\n{lab.ca_file.read_text()}")
    variables = {
        **lab.environment,
        **without_proxy("127.0.0.1", os.environ),
        "AWS_ENDPOINT_URL": lab.endpoint,
        "AWS_PROFILE": USER_PROFILE,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "REQUESTS_CA_BUNDLE": str(bundle),
        "SAM_CLI_TELEMETRY": "0",
        "API_URL": lab.api_url,
        # The Makefile puts it in front of the project's own tools.
        "LAB_BIN": str(write_commands(lab.folder, lab.endpoint, lab.sam.project)),
    }
    exports = [f"export {name}={quote(value)}" for name, value in variables.items()]
    return "\n".join([_UNSET, *exports, 'export PATH="$LAB_BIN:$PATH"', ""])


def usage(lab: Lab, env_file: Path) -> str:
    """Return commands to try in another terminal."""
    path = example_path()
    call = json.dumps({"path": path})
    file = quote(os.path.relpath(env_file))
    program = f"{quote(os.path.relpath(sys.executable))} -m cross_account_lab"
    option = "" if env_file == ENV_FILE else f" --env-file {file}"
    lines = [
        f"\nRunning until Ctrl-C. In another terminal (exit undoes the first line; or source {file}):\n",
        f"  {program} shell{option}",
        f"  call-api GET {path}",
    ]
    for consumer in lab.consumers:
        stack = f"--stack-name {STACK_NAMES[ACCOUNT_B]} --profile {consumer}"
        lines += [
            "",
            f"  sam remote invoke CallerFunction {stack} --event '{call}'",
            f"  sam remote invoke CallQueue {stack} --event '{call}'",
            f"  sam logs {stack}",
            f"  {program} replay{option} --consumer {consumer}    # moves the messages of FailedCallQueue to CallQueue",
        ]
    return "\n".join([*lines, ""])
