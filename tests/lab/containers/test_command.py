"""`python -m cross_account_lab local`."""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from cross_account_access.templates import PROJECT
from cross_account_lab.__main__ import main
from cross_account_lab.containers.image import RuntimeImageError, docker_client, runtime_image
from cross_account_lab.containers.lab import ContainerLab
from cross_account_lab.sam import SamError
from tests.lab.containers.substitute import substitute

EVENTS = {"CallerFunction": PROJECT / "events/direct-call.json", "OrdersFunction": PROJECT / "events/api-whoami.json"}


@pytest.fixture(scope="module")
def docker_engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker_client()
    except RuntimeImageError as error:
        pytest.skip(str(error))
    yield client
    client.close()


@pytest.fixture(scope="module")
def containers(docker_engine: docker.DockerClient) -> Iterator[ContainerLab]:
    try:
        image = runtime_image(docker_engine)
    except RuntimeImageError:
        image = substitute(docker_engine)
    with ContainerLab.start(image=image) as containers:
        yield containers


@pytest.fixture(autouse=True)
def _running_lab(containers: ContainerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command use the lab of the other tests, and leave this process as it is."""
    monkeypatch.setattr(ContainerLab, "start", lambda **_: nullcontext(containers))
    monkeypatch.setattr("cross_account_lab.__main__.drop_aws_variables", lambda _: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)


def test_it_prints_the_response(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["local", str(EVENTS["CallerFunction"])]) == 0
    output, log = capfd.readouterr()
    assert json.loads(output)["status"] == 200
    assert "as /var/task:ro" in log


def test_it_fails_with_the_function(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"path": "whoami"}')
    assert main(["local", str(event)]) == 1
    assert json.loads(capfd.readouterr().out)["errorType"] == "InvalidCallError"


def test_without_an_event_warm_containers_follow_every_build(
    docker_engine: docker.DockerClient, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    responses: list[tuple[Any, Any]] = []
    warm: list[set[str]] = []
    events = {name: json.loads(path.read_text()) for name, path in EVENTS.items()}

    def ask(urls: dict[str, str]) -> None:
        with requests.Session() as http:
            http.trust_env = False
            caller, backend = (http.post(urls[name], json=event, timeout=600).json() for name, event in events.items())
        responses.append((caller["status"], backend["statusCode"]))
        warm.append({str(container.id) for container in docker_engine.containers.list()})

    def broken_build(_: ContainerLab) -> None:
        raise SamError("SyntaxError: invalid syntax")

    def keys() -> Iterator[str]:
        """The keys pressed between the requests: Enter, Enter, Ctrl-C."""
        printed = re.finditer(r"(http\S+)/functions/(\w+)/invocations", capfd.readouterr().err)
        urls = {match[2]: match[0] for match in printed}
        ask(urls)
        yield "\n"
        ask(urls)
        monkeypatch.setattr(ContainerLab, "build", broken_build)
        yield "\n"
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", keys())
    assert main(["local"]) == 130
    assert "SyntaxError: invalid syntax" in capfd.readouterr().err, "a syntax error does not end it"
    assert responses == [(200, 200)] * 2
    before, after = warm
    assert len(after - before) == 2, "the new code runs"


def test_an_image_that_the_engine_has_is_not_pulled(
    docker_engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = substitute(docker_engine)
    monkeypatch.setattr("cross_account_lab.containers.image.AWS_IMAGE", name)
    assert runtime_image(docker_engine) == name

    monkeypatch.setattr("cross_account_lab.containers.image.AWS_IMAGE", "no-such-registry.invalid/python:3.13")
    with pytest.raises(RuntimeImageError, match=r"no-such-registry\.invalid/python:3\.13 cannot be pulled: "):
        runtime_image(docker_engine)
