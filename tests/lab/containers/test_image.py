"""The substitute for AWS's image: built when it is needed, named by a digest of its files."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker.errors import APIError

from cross_account_lab.containers import image as runtime
from cross_account_lab.containers import substitute as recipe
from cross_account_lab.containers.image import docker_client, runtime_image
from cross_account_lab.containers.substitute import RuntimeImageError

REGISTRY = "substitute-test.localhost"


@pytest.fixture
def files(docker_engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The files of a substitute that does not interfere with the real one."""
    files = {"/etc/hosts": b"127.0.0.1 localhost\n"}
    monkeypatch.setattr(runtime, "_AWS_IMAGE", f"{REGISTRY}/no-such-image:3.13")
    monkeypatch.setattr(recipe, "REGISTRY", REGISTRY)
    monkeypatch.setattr(recipe, "_CHANGES", [f"LABEL {REGISTRY}=true"])
    monkeypatch.setattr(recipe, "source_files", lambda: iter(files.items()))
    yield files
    for name in names(docker_engine):
        docker_engine.images.remove(name)


def names(client: docker.DockerClient) -> set[str]:
    return {name for image in client.images.list(filters={"label": REGISTRY}) for name in image.tags}


def test_it_is_built_once(docker_engine: docker.DockerClient, files: dict[str, bytes]) -> None:
    image = runtime_image(docker_engine)
    made = docker_engine.images.get(image.name).attrs["Created"]
    assert image.name.startswith(f"{image.prefix}/")
    assert runtime_image(docker_engine) == image
    assert docker_engine.images.get(image.name).attrs["Created"] == made


def test_it_is_built_again_when_a_file_changes(docker_engine: docker.DockerClient, files: dict[str, bytes]) -> None:
    old = runtime_image(docker_engine)
    # As SAM CLI names the image that it derives.
    child = old.name.replace(":3.13", ":rapid-x86_64")
    docker_engine.images.get(old.name).tag(child)
    files["/etc/hosts"] += b"127.0.0.1 lab\n"
    new = runtime_image(docker_engine)
    assert new.name != old.name
    assert names(docker_engine) == {new.name}, "the old one is gone, and so is what SAM CLI derived from it"


def test_aws_s_own_image_comes_first(
    docker_engine: docker.DockerClient, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    substitute = runtime_image(docker_engine)
    monkeypatch.setattr(runtime, "_AWS_IMAGE", f"{REGISTRY}/pulled:3.13")
    docker_engine.images.get(substitute.name).tag(f"{REGISTRY}/pulled:3.13")
    image = runtime_image(docker_engine)
    assert (image.name, image.prefix) == (f"{REGISTRY}/pulled:3.13", "")


def test_without_a_substitute_the_image_must_be_pulled(
    docker_engine: docker.DockerClient, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(RuntimeImageError, match=r"no-such-image:3\.13 cannot be pulled"):
        runtime_image(docker_engine)
    assert names(docker_engine) == set()


def test_without_an_engine_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "ENGINE", "unix:///nonexistent/docker.sock")
    with pytest.raises(RuntimeImageError, match=r"no Docker engine at unix:///nonexistent/docker\.sock .*DOCKER_HOST"):
        docker_client()


def test_the_substitute_contains_all_libraries_that_it_links(docker_engine: docker.DockerClient) -> None:
    """Every module of the standard library and of the runtime client that is a shared library can be loaded."""
    image = runtime_image(docker_engine)
    program = (
        "import importlib.machinery as m, importlib, pathlib, sys\n"
        "names = [p.name.partition('.')[0] for d in sys.path for p in pathlib.Path(d).glob('*.so')]\n"
        "for name in names: importlib.import_module(name)\n"
        "import awslambdaric, boto3, ssl\n"
        "ssl.create_default_context()\n"
        "print(len(names), sys.version_info[:2])\n"
    )
    try:
        output = docker_engine.containers.run(
            image.name, ["-c", program], entrypoint="/var/lang/bin/python3.13", remove=True, network_mode="none"
        )
    except APIError as error:
        pytest.fail(str(error))
    count, _, version = output.decode().strip().partition(" ")
    assert int(count) > 0
    assert version == "(3, 13)"
