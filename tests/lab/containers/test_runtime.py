"""A function's surroundings in the real runtime: files, bytecode, environment, memory, time."""

from __future__ import annotations

from typing import Any

import docker
import pytest

from cross_account_access.templates import Side, resolved
from cross_account_lab.accounts import REGION
from cross_account_lab.containers.lab import ContainerLab
from cross_account_lab.containers.sam_local import SamLocal
from cross_account_lab.functions import Function
from tests.lab.containers.probe import FOLDERS
from tests.lab.containers.variants import BACKEND, CALLER, GET, PROBE_SECONDS, Invoke

SIDES: dict[str, Side] = {CALLER.name: "b", BACKEND.name: "a"}

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
DEFINED_BY_LAMBDA = {
    "_HANDLER": "probe.handler",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_LAMBDA_FUNCTION_NAME": "Probe",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "LANG": "en_US.UTF-8",
}
ALSO_DEFINED = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "LD_LIBRARY_PATH",
    "PATH",
    "TZ",
}
# By SAM CLI, by the engine, and by the lab to lead to the emulator.
NOT_OF_LAMBDA = {
    "AWS_ACCOUNT_ID",
    "AWS_LAMBDA_FUNCTION_HANDLER",
    "AWS_LAMBDA_FUNCTION_TIMEOUT",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_SAM_LOCAL",
    "HOME",
    "HOSTNAME",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
}


@pytest.fixture(scope="module", params=[BACKEND, CALLER], ids=lambda function: function.name)
def function(request: pytest.FixtureRequest) -> Function:
    found: Function = request.param
    return found


@pytest.fixture(scope="module")
def seen(function: Function, caller: Invoke, backend: Invoke) -> dict[str, Any]:
    """The view from inside the warm container."""
    invoke = caller if function == CALLER else backend
    invoke({}, "Probe")
    report: dict[str, Any] = invoke({}, "Probe")
    return report


def properties(function: Function) -> dict[str, Any]:
    found: dict[str, Any] = resolved(SIDES[function.name])["Resources"][function.name]["Properties"]
    return found


def test_the_runtime_is_the_template_s(seen: dict[str, Any]) -> None:
    assert seen["python"] == [3, 13]
    assert seen["path"][0] == "/var/task", "the package takes precedence over the runtime"
    assert not seen["boto3"].startswith("/var/task/"), "boto3 comes with the runtime"


def test_only_the_temporary_folder_can_be_written_to(seen: dict[str, Any]) -> None:
    assert seen["write"] == dict(zip(FOLDERS, ("Read-only file system", ""), strict=True))


def test_nothing_of_the_package_is_compiled_at_the_start(seen: dict[str, Any]) -> None:
    assert seen["loaded"]
    assert seen["compiled"] == []


def test_without_its_bytecode_the_package_would_be_compiled(backend: Invoke) -> None:
    """The test above can fail."""
    report = backend({}, "WithoutBytecode")
    assert f"/var/task/{BACKEND.properties['Handler'].partition('.')[0]}/handler.py" in report["compiled"]


def test_the_environment_is_lambda_s(function: Function, seen: dict[str, Any], sam_local: SamLocal) -> None:
    environment = seen["environment"]
    assert {name: environment.get(name) for name in DEFINED_BY_LAMBDA} == DEFINED_BY_LAMBDA
    assert environment.keys() >= ALSO_DEFINED
    declared = properties(function)["Environment"]["Variables"].keys()
    assert environment.keys() - DEFINED_BY_LAMBDA.keys() - ALSO_DEFINED - NOT_OF_LAMBDA == declared
    deployed = sam_local.containers.configuration(function)["Environment"]["Variables"]
    if function == BACKEND:
        deployed |= sam_local.example_variables(function)
    assert {name: environment[name] for name in declared} == {name: deployed[name] for name in declared}


def test_memory_is_as_configured(
    function: Function, seen: dict[str, Any], docker_engine: docker.DockerClient, containers: ContainerLab
) -> None:
    megabytes = properties(function)["MemorySize"]
    assert int(seen["memory"]) == megabytes
    package = containers.lab.folder / f"{function.name}-probe"
    [container] = [
        container
        for container in docker_engine.containers.list(filters={"label": "sam.cli.function.name=Probe"})
        if {"Source": str(package), "RW": False}.items()
        <= next(mount for mount in container.attrs["Mounts"] if mount["Destination"] == "/var/task").items()
    ]
    assert container.attrs["HostConfig"]["Memory"] == megabytes * 2**20


def test_time_is_as_configured(function: Function, seen: dict[str, Any]) -> None:
    limit = PROBE_SECONDS if function == CALLER else properties(function)["Timeout"]
    assert limit / 2 < seen["remaining"] / 1000 <= limit


def test_a_stalled_api_ends_in_our_error_before_lambda_s(caller: Invoke) -> None:
    payload = caller({"path": "/stall"}, "StalledApi")
    assert payload["errorType"] == "DeadlineError"
    assert "ConnectionFailedError" in payload["errorMessage"]


def test_lambda_s_own_timeout_looks_different(caller: Invoke) -> None:
    """The test above can fail."""
    assert caller({"sleep": 300}, "Probe") == f"Task timed out after {PROBE_SECONDS}.00 seconds"


def test_the_emulator_runs_both_functions_with_their_own_roles(containers: ContainerLab) -> None:
    lab = containers.lab
    assert lab.invoke({"path": GET.example.path})["status"] == GET.status
    refused = lab.invoke({"path": "/nowhere"})
    assert refused["errorType"] == "ForbiddenError"
    assert "AccessDeniedException" in refused["errorMessage"]
