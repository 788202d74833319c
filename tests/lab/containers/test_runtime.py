"""The caller in the real runtime: its bytecode, its time."""

import shutil
import socket
from typing import Any

import requests

from cross_account_lab.containers.lab import HOST, ContainerLab
from cross_account_lab.containers.sam_local import serve
from tests.lab.containers import probe
from tests.lab.containers.subjects import CALLER


def invoke(url: str, event: Any) -> Any:
    with requests.Session() as http:
        http.trust_env = False
        return http.post(f"{url}/2015-03-31/functions/{CALLER.name}/invocations", json=event, timeout=600).json()


def test_nothing_of_the_package_is_compiled_at_the_start(containers: ContainerLab) -> None:
    package = containers.lab.folder / "probe"
    shutil.copytree(containers.package(CALLER), package)
    shutil.copy(probe.__file__, package / "probe.py")
    (package / "without_bytecode.py").touch()
    with serve(containers, CALLER, {"CodeUri": str(package), "Handler": "probe.handler"}) as url:
        assert invoke(url, {}) == ["/var/task/without_bytecode.py"]


def test_a_stalled_api_ends_in_our_error_before_lambda_s(containers: ContainerLab) -> None:
    host = containers.lab.endpoint.removeprefix("https://").partition(":")[0]
    # It takes connections and never answers.
    with socket.create_server((host, 0)) as silent:
        url = f"https://{HOST}:{silent.getsockname()[1]}"
        # The runtime counts 10 seconds; the emulator ends the function much later, however busy the machine is.
        variables = {"API_URL": url, "AWS_LAMBDA_FUNCTION_TIMEOUT": 10}
        with serve(containers, CALLER, {"Environment": variables, "Timeout": 300}) as url:
            payload = invoke(url, {"path": "/stall"})

    assert payload["errorType"] == "DeadlineError"
    assert "ConnectionFailedError" in payload["errorMessage"]
