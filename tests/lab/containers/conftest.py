"""One lab in containers for all tests here.

Without a Docker engine the tests skip; with `CI=true` they fail.
"""

import os
from collections.abc import Iterator

import docker
import pytest

from cross_account_lab.containers.image import RuntimeImageError, docker_client, runtime_image
from cross_account_lab.containers.lab import ContainerLab
from tests.lab.containers.substitute import substitute


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
    try:
        image = runtime_image(docker_engine)
    except RuntimeImageError:
        image = substitute(docker_engine)
    with ContainerLab.start(image=image) as containers:
        yield containers
