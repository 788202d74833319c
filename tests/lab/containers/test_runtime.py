"""A function in the real runtime: its bytecode, its files, its time."""

import shutil
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from cross_account_lab.containers.lab import HOST, ContainerLab
from cross_account_lab.containers.sam_local import serve
from cross_account_lab.functions import Function
from tests.lab.containers import probe
from tests.lab.containers.subjects import BACKEND, CALLER


def invoke(url: str, function: Function, event: Any) -> Any:
    with requests.Session() as http:
        http.trust_env = False
        response = http.post(f"{url}/2015-03-31/functions/{function.name}/invocations", json=event, timeout=600)
        return response.json()


@pytest.fixture(scope="module", params=[BACKEND, CALLER], ids=lambda function: function.name)
def seen(request: pytest.FixtureRequest, containers: ContainerLab) -> dict[str, Any]:
    """The view from inside the container, where one module was added without bytecode."""
    function: Function = request.param
    package = containers.lab.folder / f"{function.name}-probe"
    shutil.copytree(containers.package(function), package)
    shutil.copy(probe.__file__, package / "probe.py")
    (package / "without_bytecode.py").touch()
    with serve(containers, function, {"CodeUri": str(package), "Handler": "probe.handler"}) as url:
        report: dict[str, Any] = invoke(url, function, {})
        return report


def test_nothing_of_the_package_is_compiled_at_the_start(seen: dict[str, Any]) -> None:
    assert seen["compiled"] == ["/var/task/without_bytecode.py"]


def test_only_the_temporary_folder_can_be_written_to(seen: dict[str, Any]) -> None:
    assert seen["write"] == dict(zip(probe.FOLDERS, ("Read-only file system", ""), strict=True))


@pytest.fixture
def silent_port(containers: ContainerLab) -> Iterator[int]:
    """A port that takes connections and never answers."""
    host = containers.lab.endpoint.removeprefix("https://").partition(":")[0]
    with socket.create_server((host, 0)) as listener:
        yield listener.getsockname()[1]


def test_a_stalled_api_ends_in_our_error_before_lambda_s(containers: ContainerLab, silent_port: int) -> None:
    # The runtime counts 10 seconds; the emulator ends the function much later, however busy the machine is.
    variables = {"API_URL": f"https://{HOST}:{silent_port}", "AWS_LAMBDA_FUNCTION_TIMEOUT": 10}
    with serve(containers, CALLER, {"Environment": variables, "Timeout": 300}) as url:
        payload = invoke(url, CALLER, {"path": "/stall"})

    assert payload["errorType"] == "DeadlineError"
    assert "ConnectionFailedError" in payload["errorMessage"]
