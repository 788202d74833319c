"""`sam local` for functions as they are built and deployed in a lab."""

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, run
from typing import Any
from urllib.parse import urlsplit

from cross_account_lab.accounts import REGION
from cross_account_lab.containers.lab import CA_FILE, HOST, ContainerLab, container_url
from cross_account_lab.functions import Function
from cross_account_lab.process import free_port, running, tail, without_proxy
from cross_account_lab.sam import SamError

EXAMPLE_ROLE_ID = "AROAEXECUTOREXAMPLE1"
"""Id of the executor role whose sessions send the requests in events/."""

type Variants = Mapping[str, Mapping[str, Any]]
"""A function's properties that differ, by the logical id of the variant; `Environment` adds to the variables."""

_START_SECONDS = 600


@dataclass(frozen=True)
class SamLocal:
    """`sam local` against a lab in containers."""

    containers: ContainerLab

    def _template(self, function: Function, variants: Variants) -> Path:
        """Write a template of a function's variants."""
        # `sam local` knows neither the stack's other resources nor its account, and passes on declared variables only.
        deployed = self.containers.configuration(function)
        variables = deployed["Environment"]["Variables"] | {
            "AWS_ENDPOINT_URL": container_url(self.containers.lab.endpoint),
            "AWS_CA_BUNDLE": f"/var/task/{CA_FILE}",
        }
        common = {name: deployed[name] for name in ("Architectures", "Handler", "MemorySize", "Runtime", "Timeout")}
        common["CodeUri"] = str(self.containers.package(function))
        resources = {}
        for name, variant in variants.items():
            environment = {"Variables": variables | variant.get("Environment", {})}
            properties = {**common, **variant, "Environment": environment}
            resources[name] = {"Type": "AWS::Serverless::Function", "Properties": properties}
        path = self.containers.lab.folder / f"local-{'-'.join(variants)}.json"
        path.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}))
        return path

    def example_variables(self, function: Function) -> dict[str, str]:
        """Return the variables with which a function accepts the requests in events/: another executor role id."""
        variables = self.containers.configuration(function)["Environment"]["Variables"]
        changed = {name: re.sub("AROA[A-Z0-9]+", EXAMPLE_ROLE_ID, value) for name, value in variables.items()}
        return {name: value for name, value in changed.items() if value != variables[name]}

    def invoke(self, function: Function, event: Path, *arguments: str) -> str:
        """Run `sam local invoke` and return the function's response, or the error that the runtime returned instead."""
        variants = {function.name: {"Environment": self.example_variables(function)}}
        command = [*self._command("invoke", function, variants), function.name, "--event", event.resolve(), *arguments]
        process = run(command, env=self._environment(function), stdin=DEVNULL, stdout=PIPE, text=True, check=False)
        if process.returncode:
            raise SamError(f"sam local invoke {function.name} failed ({process.returncode})")
        return process.stdout.strip()

    @contextmanager
    def serve(self, command: str, function: Function, variants: Variants, *arguments: str) -> Iterator[str]:
        """Run `sam local start-lambda` or `start-api`, and yield its URL. Its containers end with the lab."""
        folder = self.containers.lab.folder
        port = free_port("127.0.0.1")
        log = folder / f"{command}-{port}.log"
        sam = [*self._command(command, function, variants), "--port", str(port), *arguments]
        with running(sam, cwd=folder, env=self._environment(function), log=log) as process:
            deadline = time.monotonic() + _START_SECONDS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SamError(f"sam local {command} did not start:\n{tail(log)}")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"

    def _command(self, command: str, function: Function, variants: Variants) -> list[str | Path]:
        template = self._template(function, variants)
        return [
            *(Path(sys.executable).parent / "sam", "local", command, "--template", template, "--region", REGION),
            *("--invoke-image", self.containers.image.name, "--skip-pull-image"),
            *("--add-host", f"{HOST}:host-gateway"),
        ]

    def _environment(self, function: Function) -> dict[str, str]:
        lab = self.containers.lab
        session = self.containers.role_session(function)
        declared = self.containers.configuration(function)["Environment"]["Variables"]
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
