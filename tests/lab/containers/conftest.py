"""One lab in containers, and warm containers of both functions, for all tests here.

Without a Docker engine the tests skip; with `CI=true` they fail.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker
import pytest
from botocore.config import Config

from cross_account_lab.containers.image import docker_client
from cross_account_lab.containers.lab import ContainerLab
from cross_account_lab.containers.sam_local import SamLocal
from cross_account_lab.containers.substitute import RuntimeImageError
from cross_account_lab.functions import Function
from cross_account_lab.process import tail
from tests.lab.containers.faults import faulty_api
from tests.lab.containers.probe import package_with_probe
from tests.lab.containers.variants import BACKEND, CALLER, FAULTY, PROBE_SECONDS, Invoke

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker_client()
    except RuntimeImageError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    yield client
    client.close()


@pytest.fixture(scope="session")
def containers(docker_engine: docker.DockerClient) -> Iterator[ContainerLab]:
    with ContainerLab.start() as containers:
        yield containers


@pytest.fixture(scope="session")
def sam_local(containers: ContainerLab) -> SamLocal:
    return SamLocal(containers)


@pytest.fixture(scope="session")
def caller(sam_local: SamLocal) -> Iterator[Invoke]:
    """Invoke a variant of the caller in its warm container."""
    package = package_with_probe(sam_local.containers, CALLER)
    host = urlsplit(sam_local.containers.lab.endpoint).hostname or ""
    with faulty_api(host) as faulty:
        # One word, because the caller sends its session token in the clear to no other host.
        api_url = f"http://faults:{faulty.port}"
        variants: dict[str, dict[str, Any]] = {
            CALLER.name: {},
            "WrongExternalId": {"Environment": {"EXTERNAL_ID": "another"}},
            "WrongSettings": {"Environment": {"API_URL": "http://api.example.com"}},
            # The runtime counts 10 seconds; the emulator ends the function much later, however busy the machine is.
            "StalledApi": {"Environment": {"API_URL": api_url, "AWS_LAMBDA_FUNCTION_TIMEOUT": 10}, "Timeout": 300},
            "Probe": {"CodeUri": str(package), "Handler": "probe.handler", "Timeout": PROBE_SECONDS},
            **{name: {"Environment": {"API_URL": api_url}, "Timeout": 300} for name in FAULTY},
        }
        with _warm(sam_local, CALLER, variants, "--add-host", "faults:host-gateway") as invoke:
            yield invoke


@pytest.fixture(scope="session")
def backend(sam_local: SamLocal) -> Iterator[Invoke]:
    """Invoke a variant of the backend in its warm container."""
    package = package_with_probe(sam_local.containers, BACKEND)
    source = package_with_probe(sam_local.containers, BACKEND, bytecode=False)
    variables = sam_local.example_variables(BACKEND)
    variants: dict[str, dict[str, Any]] = {
        BACKEND.name: {"Environment": variables},
        "WrongSettings": {"Environment": dict.fromkeys(variables, "ExecutorRole")},
        "Probe": {"CodeUri": str(package), "Handler": "probe.handler", "Environment": variables},
        "WithoutBytecode": {"CodeUri": str(source), "Handler": "probe.handler", "Environment": variables},
    }
    with _warm(sam_local, BACKEND, variants) as invoke:
        yield invoke


@contextmanager
def _warm(
    sam_local: SamLocal, function: Function, variants: dict[str, dict[str, Any]], *arguments: str
) -> Iterator[Invoke]:
    """Keep warm containers of a function's variants."""
    with sam_local.serve("start-lambda", function, variants, "--warm-containers", "LAZY", *arguments) as url:
        client = sam_local.containers.lab.session(function.account).client(
            "lambda", endpoint_url=url, config=Config(read_timeout=600, retries={"total_max_attempts": 1})
        )
        yield lambda event, variant=function.name: _payload(sam_local, client, variant, event)


def _payload(sam_local: SamLocal, client: LambdaClient, function: str, event: Any) -> Any:
    text = client.invoke(FunctionName=function, Payload=json.dumps(event))["Payload"].read().decode()
    # Lambda responds with JSON here as well; the runtime interface emulator does not.
    if text.startswith("Task timed out"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        logs = [tail(log, 60) for log in sam_local.containers.lab.folder.glob("start-lambda-*.log")]
        pytest.fail("\n".join([f"{function} returned {text!r} for {event}", *logs]))
