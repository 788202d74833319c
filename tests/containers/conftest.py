"""One lab in containers, and warm containers of both functions, for all tests here.

Without a Docker engine the tests skip; with `CI=true` they fail.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker
import pytest

from lab.containers.__main__ import VARIABLES
from lab.containers.image import RuntimeImageError, engine
from lab.containers.lab import ContainerLab
from lab.process import tail
from tests.containers.faults import FaultyApi
from tests.containers.probe import package_with_probe

PROBE_SECONDS = 5

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

type Invoke = Callable[..., Any]

FAULTY = [f"FaultyApi{number}" for number in range(4)]
"""Variants of the caller whose API misbehaves, each with a container: as many calls are made at the same time."""


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[docker.DockerClient]:
    try:
        client = engine()
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
def caller(containers: ContainerLab) -> Iterator[Invoke]:
    """Invoke a variant of the caller in its warm container."""
    package = package_with_probe(containers, "CallerFunction")
    host = urlsplit(containers.lab.endpoint).hostname or ""
    with FaultyApi.start(host) as faulty:
        # One word, because the caller sends its session token in the clear to no other host.
        api_url = f"http://faults:{faulty.port}"
        variants: dict[str, dict[str, Any]] = {
            "CallerFunction": {},
            "WrongExternalId": {"Environment": {"EXTERNAL_ID": "another"}},
            "WrongSettings": {"Environment": {"API_URL": "http://api.example.com"}},
            "StalledApi": {"Environment": {"API_URL": api_url}, "Timeout": 6},
            "Probe": {"CodeUri": str(package), "Handler": "probe.handler", "Timeout": PROBE_SECONDS},
            "Cold": {},
            **{name: {"Environment": {"API_URL": api_url}, "Timeout": 60} for name in FAULTY},
        }
        with containers.start_lambda("CallerFunction", variants, "--add-host", "faults:host-gateway") as client:
            yield lambda event, variant="CallerFunction": _payload(containers, client, variant, event)


@pytest.fixture(scope="session")
def orders(containers: ContainerLab) -> Iterator[Invoke]:
    """Invoke a variant of the backend in its warm container."""
    package = package_with_probe(containers, "OrdersFunction")
    source = package_with_probe(containers, "OrdersFunction", bytecode=False)
    variables = VARIABLES["OrdersFunction"]
    variants: dict[str, dict[str, Any]] = {
        "OrdersFunction": {"Environment": variables},
        "WrongSettings": {"Environment": {"EXECUTOR_ROLE_IDS": "ExecutorRole"}},
        "Probe": {"CodeUri": str(package), "Handler": "probe.handler", "Environment": variables},
        "WithoutBytecode": {"CodeUri": str(source), "Handler": "probe.handler", "Environment": variables},
    }
    with containers.start_lambda("OrdersFunction", variants) as client:
        yield lambda event, variant="OrdersFunction": _payload(containers, client, variant, event)


def _payload(containers: ContainerLab, client: LambdaClient, function: str, event: Any) -> Any:
    text = client.invoke(FunctionName=function, Payload=json.dumps(event))["Payload"].read().decode()
    # Lambda would answer in JSON here as well; the emulator of the runtime interface does not.
    if text.startswith("Task timed out"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        logs = [tail(log, 60) for log in containers.lab.folder.glob("start-lambda-*.log")]
        pytest.fail("\n".join([f"{function} answered {text!r} to {event}", *logs]))
