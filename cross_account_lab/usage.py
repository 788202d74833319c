"""How to use a running lab from another terminal: a file to source, and commands to try."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import certifi

from cross_account_access.project import PROJECT
from cross_account_lab.accounts import ACCOUNT_B, REGION
from cross_account_lab.functions import example_path
from cross_account_lab.lab import STACK_NAMES, USER_PROFILE, Lab
from cross_account_lab.shell import write_commands

ENV_FILE = PROJECT / "build/lab.env"

# For any POSIX shell. Every variable of AWS_* and of the list is saved, so that `deactivate_lab` can restore it.
_SAVE_AND_UNSET = r"""# Point this shell to the running lab; `deactivate_lab` undoes it.

if command -v deactivate_lab >/dev/null 2>&1; then deactivate_lab; fi

_lab_undo=
for _lab_name in $({ env | sed -n 's/^\(AWS_[A-Za-z0-9_]*\)=.*/\1/p'; printf '%s\n' @names@; } | sort -u); do
    if eval "[ \"\${$_lab_name+set}\" ]"; then
        eval "_lab_old_$_lab_name=\$$_lab_name"
        _lab_undo="$_lab_undo export $_lab_name=\"\$_lab_old_$_lab_name\"; unset _lab_old_$_lab_name;"
    else
        _lab_undo="$_lab_undo unset $_lab_name;"
    fi
    case $_lab_name in AWS_*) unset "$_lab_name" ;; esac
done
unset _lab_name

deactivate_lab() {
    eval "$_lab_undo"
    unset _lab_undo
    unset -f deactivate_lab
}
"""

# Each spelling of `no_proxy` gets one more host, as in `without_proxy`.
_PATH_AND_PROXIES = r"""export PATH="$LAB_BIN:$PATH"
_lab_hosts=${NO_PROXY:-${no_proxy:-}}
export no_proxy="${no_proxy:-$_lab_hosts}" NO_PROXY="$_lab_hosts"
unset _lab_hosts
[ "$NO_PROXY" = '*' ] || NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}"
[ "$no_proxy" = '*' ] || no_proxy="127.0.0.1${no_proxy:+,$no_proxy}"
"""


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
    """Return shell code that unsets the user's AWS settings and sets those of a lab."""
    # `requests` takes one file for all hosts: the authorities that the user trusts anyway, plus the lab's.
    users_own = Path(os.environ.get("REQUESTS_CA_BUNDLE", ""))
    trusted = users_own if users_own.is_file() else Path(certifi.where())
    # Not ca-bundle.pem: the emulator writes a file of that name when it starts a function.
    bundle = lab.folder / "trusted.pem"
    bundle.write_text(f"{trusted.read_text()}\n{lab.ca_file.read_text()}")
    variables = {
        **lab.environment,
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
    names = " ".join([*variables, "PATH", "NO_PROXY", "no_proxy"])
    return "\n".join([_SAVE_AND_UNSET.replace("@names@", names), *exports, _PATH_AND_PROXIES])


def usage(lab: Lab, env_file: Path) -> str:
    """Return commands to try in another terminal."""
    path = example_path()
    call = json.dumps({"path": path})
    file = os.path.relpath(env_file)
    replay = f"{quote(os.path.relpath(sys.executable))} -m cross_account_lab replay" + (
        "" if env_file == ENV_FILE else f" --env-file {quote(file)}"
    )
    lines = [
        "\nRunning until Ctrl-C. In another terminal (deactivate_lab undoes the first line):\n",
        f"  source {quote(file)}",
        f"  call-api GET {path}",
    ]
    for consumer in lab.consumers:
        stack = f"--stack-name {STACK_NAMES[ACCOUNT_B]} --profile {consumer}"
        lines += [
            "",
            f"  sam remote invoke CallerFunction {stack} --event '{call}'",
            f"  sam remote invoke CallQueue {stack} --event '{call}'",
            f"  sam logs {stack}",
            f"  {replay} --consumer {consumer}    # moves the messages of FailedCallQueue to CallQueue",
        ]
    return "\n".join([*lines, ""])
