"""The command that runs one event, and what `sam local` does not tell by itself."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from access.templates import PROJECT
from lab.containers.__main__ import VARIABLES, main
from lab.containers.lab import ContainerLab
from lab.sam import SamError


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """Give back what the command takes of its process."""
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    os.environ.update(environment)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def _lab_at_hand(containers: ContainerLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command use the lab that runs."""
    monkeypatch.setattr(ContainerLab, "start", lambda **_: nullcontext(containers))


@pytest.mark.usefixtures("_lab_at_hand")
def test_it_prints_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(PROJECT / "events/direct-call.json")]) == 0
    output, log = capfd.readouterr()
    assert json.loads(output)["status"] == 200
    assert "as /var/task:ro" in log


@pytest.mark.usefixtures("_lab_at_hand")
def test_it_fails_with_the_function(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    event = tmp_path / "event.json"
    event.write_text('{"path": "whoami"}')
    assert main([str(event)]) == 1
    assert json.loads(capfd.readouterr().out)["errorType"] == "InvalidCallError"


def test_it_fails_without_an_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = tmp_path / "event.json"
    assert main([str(event)]) == 1
    assert str(event) in capsys.readouterr().err
    event.write_text("{")
    assert main([str(event)]) == 1
    assert "JSONDecodeError" in capsys.readouterr().err


@pytest.mark.usefixtures("_lab_at_hand")
def test_without_an_event_warm_containers_follow_every_build(
    docker_engine: docker.DockerClient, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[tuple[Any, Any]] = []
    warm: list[set[str]] = []

    def ask(urls: dict[str, str]) -> None:
        with requests.Session() as http:
            http.trust_env = False
            caller, orders = (
                http.post(urls[function], data=(PROJECT / event).read_bytes(), timeout=60).json()
                for function, event in (
                    ("CallerFunction", "events/direct-call.json"),
                    ("OrdersFunction", "events/api-whoami.json"),
                )
            )
        answers.append((caller["status"], orders["statusCode"]))
        warm.append({str(container.id) for container in docker_engine.containers.list()})

    def keys() -> Iterator[str]:
        """What is typed between the questions: nothing, Enter, Enter, Ctrl-C."""
        urls = {
            match[2]: match[0]
            for match in re.finditer(r"(http\S+)/functions/(\w+)/invocations", capfd.readouterr().err)
        }
        ask(urls)
        ask(urls)
        yield "\n"
        ask(urls)
        monkeypatch.setattr(ContainerLab, "build", broken_build)
        yield "\n"
        raise KeyboardInterrupt

    def broken_build(_: ContainerLab) -> None:
        raise SamError("SyntaxError: invalid syntax")

    monkeypatch.setattr("sys.stdin", keys())
    assert main([]) == 130
    assert "SyntaxError: invalid syntax" in capfd.readouterr().err, "a typing error does not end it"
    assert answers == [(200, 200)] * 3
    first, second, after_build = warm
    assert second == first, "warm"
    assert len(after_build - first) == 2, "the new code runs"


def test_an_api_behind_start_api_authorizes_nobody_and_so_the_backend_refuses_everybody(
    containers: ContainerLab,
) -> None:
    """API Gateway would answer an unsigned request itself; here it comes through, and says nothing of who sent it."""
    events = {"WhoAmI": {"Type": "Api", "Properties": {"Method": "GET", "Path": "/whoami"}}}
    variant = {"Environment": VARIABLES["OrdersFunction"], "Events": events}
    template = containers.template("OrdersFunction", {"OrdersFunction": variant})
    with containers.serving("start-api", "OrdersFunction", template) as url, requests.Session() as http:
        http.trust_env = False
        answer = http.get(f"{url}/whoami", timeout=60)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden", "the backend's own refusal"
