"""The image that functions run in: AWS's own."""

import os
import socket

import docker
from docker.errors import DockerException

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
AWS_IMAGE = "public.ecr.aws/lambda/python:3.13"


class RuntimeImageError(Exception):
    """There is no Docker engine or no image of the Lambda runtime."""


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


def runtime_image(client: docker.DockerClient) -> str:
    """Return the name of AWS's image, pulled if the engine does not have it."""
    try:
        if not client.images.list(AWS_IMAGE):
            client.images.pull(AWS_IMAGE)
    except DockerException as error:
        raise RuntimeImageError(f"{AWS_IMAGE} cannot be pulled: {error}") from error
    return AWS_IMAGE
