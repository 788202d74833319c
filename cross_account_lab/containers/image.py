"""The image that functions run in: AWS's own, or a substitute built from this machine's Python."""

import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

import docker
from docker.errors import APIError, DockerException

from cross_account_lab.containers import substitute
from cross_account_lab.containers.substitute import RuntimeImageError

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
_AWS_IMAGE = "public.ecr.aws/lambda/python:3.13"


@dataclass(frozen=True)
class RuntimeImage:
    """An image of the Lambda runtime in the engine; `prefix` is what its name has in front of that of AWS's image."""

    name: str
    prefix: str = ""


def docker_client() -> docker.DockerClient:
    """Connect to the Docker engine."""
    try:
        if ENGINE.startswith("unix://"):
            # If nothing listens, Docker's client leaves its socket open.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(ENGINE.removeprefix("unix://"))
        return docker.from_env(timeout=120)  # seconds, which pulling an image can take
    except (OSError, DockerException) as error:
        remedy = "install or start one, or set DOCKER_HOST to the socket of yours (Colima, Finch, Podman)"
        raise RuntimeImageError(f"no Docker engine at {ENGINE} ({error}): {remedy}") from error


def runtime_image(client: docker.DockerClient) -> RuntimeImage:
    """Find or make the image to run functions in: AWS's own if the engine has it or can pull it, else a substitute.

    The name of a substitute contains a digest of its files, and so does that of the image that SAM CLI derives from it.
    """
    if client.images.list(_AWS_IMAGE):
        return RuntimeImage(_AWS_IMAGE)
    supported = sys.platform == "linux" and sys.version_info[:2] == (3, 13)
    files = dict(substitute.source_files()) if supported else {}
    prefix = f"{substitute.REGISTRY}/{substitute.digest(files)}"
    image = RuntimeImage(f"{prefix}/{_AWS_IMAGE}", prefix)
    if files and client.images.list(image.name):
        return image
    try:
        client.images.pull(_AWS_IMAGE)
        return RuntimeImage(_AWS_IMAGE)
    except DockerException as error:
        if not files:
            message = f"{_AWS_IMAGE} cannot be pulled ({error}), and a substitute needs Linux and CPython 3.13"
            raise RuntimeImageError(message) from error
    with suppress(APIError):  # raised if another lab is doing the same
        client.images.prune(filters={"label": substitute.REGISTRY, "dangling": False})
    substitute.build(client, image.name, files)
    return image
