"""`sam local` for functions as they are built and deployed in a lab."""

import json
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, run
from urllib.parse import urlsplit

from cross_account_lab.accounts import REGION
from cross_account_lab.containers.lab import CA_FILE, HOST, ContainerLab, container_url
from cross_account_lab.functions import Function
from cross_account_lab.process import free_port, running, tail, without_proxy
from cross_account_lab.sam import SamError

EXAMPLE_ROLE_ID = "AROAEXECUTOREXAMPLE1"
"""Id of the executor role whose sessions send the requests in events/; functions accept it here as theirs."""

_START_SECONDS = 600


def invoke(containers: ContainerLab, function: Function, event: Path, *arguments: str) -> str:
    """Run `sam local invoke` and return the function's response, or the error that the runtime returned instead."""
    command = [*_command(containers, "invoke", function), function.name, "--event", event.resolve(), *arguments]
    process = run(command, env=environment(containers, function), stdin=DEVNULL, stdout=PIPE, text=True, check=False)
    if process.returncode:
        raise SamError(f"sam local invoke {function.name} failed ({process.returncode})")
    return process.stdout.strip()


@contextmanager
def serve(containers: ContainerLab, function: Function) -> Iterator[str]:
    """Run `sam local start-lambda` with a warm container, and yield its URL. Its containers end with the lab."""
    folder = containers.lab.folder
    port = free_port("127.0.0.1")
    log = folder / f"start-lambda-{port}.log"
    command = _command(containers, "start-lambda", function)
    command += ["--port", str(port), "--warm-containers", "LAZY"]
    with running(command, cwd=folder, env=environment(containers, function), log=log) as process:
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SamError(f"sam local start-lambda did not start:\n{tail(log)}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"


def _command(containers: ContainerLab, command: str, function: Function) -> list[str | Path]:
    return [
        *(Path(sys.executable).parent / "sam", "local", command, "--region", REGION),
        *("--template", _template(containers, function)),
        *("--invoke-image", containers.image, "--skip-pull-image"),
        *("--add-host", f"{HOST}:host-gateway"),
    ]


def _template(containers: ContainerLab, function: Function) -> Path:
    # `sam local` knows neither the stack's other resources nor its account, and passes on declared variables only.
    deployed = containers.configuration(function)
    declared = deployed["Environment"]["Variables"]
    variables = {name: re.sub("AROA[A-Z0-9]+", EXAMPLE_ROLE_ID, value) for name, value in declared.items()} | {
        "AWS_ENDPOINT_URL": container_url(containers.lab.endpoint),
        "AWS_CA_BUNDLE": f"/var/task/{CA_FILE}",
    }
    properties = {
        **{name: deployed[name] for name in ("Architectures", "Handler", "MemorySize", "Runtime", "Timeout")},
        "CodeUri": str(containers.package(function)),
        "Environment": {"Variables": variables},
    }
    resources = {function.name: {"Type": "AWS::Serverless::Function", "Properties": properties}}
    path = containers.lab.folder / f"local-{secrets.token_hex(4)}.json"
    path.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}))
    return path


def environment(containers: ContainerLab, function: Function) -> dict[str, str]:
    """Return the environment in which `sam local` runs a function with a session of the function's own role."""
    lab = containers.lab
    session = containers.role_session(function)
    declared = containers.configuration(function)["Environment"]["Variables"]
    # Variables of the shell would take precedence over those of the template.
    shell = {name: value for name, value in os.environ.items() if name not in declared and name[:4] != "AWS_"}
    return shell | {
        **without_proxy(urlsplit(lab.endpoint).hostname or "", shell),
        "AWS_ACCESS_KEY_ID": session.access_key,
        "AWS_SECRET_ACCESS_KEY": session.secret_key,
        "AWS_SESSION_TOKEN": session.token or "",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        # SAM CLI calls GetCallerIdentity. AWS_ENDPOINT_URL would replace the one in the template.
        "AWS_ENDPOINT_URL_STS": lab.endpoint,
        "REQUESTS_CA_BUNDLE": str(lab.ca_file),
        "SAM_CLI_TELEMETRY": "0",
        # Seconds for a container to start: SAM CLI's 20 are too few for several at once on a busy machine.
        "SAM_CLI_CONTAINER_CONNECTION_TIMEOUT": str(_START_SECONDS),
        # By default it writes files to the home directory.
        "__SAM_CLI_APP_DIR": str(lab.folder),
        "SAM_LAYER_CACHE_BASEDIR": str(lab.folder),
    }


def has_failed(output: str) -> bool:
    """Return whether a function failed, by what it returned: the exit code of SAM CLI is 0 even then."""
    with suppress(ValueError):
        payload = json.loads(output)
        return isinstance(payload, dict) and "errorType" in payload
    return True


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
