"""The image of the Lambda runtime, and what is said where there is none."""

import docker
import pytest

from cross_account_lab.containers import image
from cross_account_lab.containers.image import RuntimeImageError, docker_client, runtime_image
from tests.lab.containers.substitute import substitute


def test_an_image_that_the_engine_has_is_not_pulled(
    docker_engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = substitute(docker_engine)
    monkeypatch.setattr(image, "AWS_IMAGE", name)
    assert runtime_image(docker_engine) == name

    monkeypatch.setattr(image, "AWS_IMAGE", "no-such-registry.invalid/python:3.13")
    with pytest.raises(RuntimeImageError, match=r"no-such-registry\.invalid/python:3\.13 cannot be pulled: "):
        runtime_image(docker_engine)


def test_without_an_engine_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "ENGINE", "unix:///nonexistent/docker.sock")
    with pytest.raises(RuntimeImageError, match=r"no Docker engine at unix:///nonexistent/docker\.sock .*DOCKER_HOST"):
        docker_client()
