"""The image that functions run in: AWS's own, or a substitute built from this machine's Python.

The substitute is for tests and work without a network. It contains what AWS's image contains for a function: the Lambda
runtime client, boto3, Python in /var/lang, and the runtime interface emulator, which SAM CLI ships.
https://docs.aws.amazon.com/lambda/latest/dg/python-image.html#python-image-base
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import cache_from_source
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import docker
import samcli
from docker.errors import APIError, DockerException, ImageNotFound
from packaging.requirements import Requirement

from lab.process import host_architecture

ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
"""Address of the Docker engine."""

_AWS_IMAGE = "public.ecr.aws/lambda/python:3.13"
_SUBSTITUTE_REGISTRY = "lambda-substitute.localhost"
_PYTHON = "/var/lang/bin/python3.13"
_STDLIB = "/var/lang/lib/python3.13"
_PULL_SECONDS = 120

# Used by SAM CLI to derive its own image from this one, and by layers.
_TOOLS = ("sh", "mv", "chmod", "cp", "rm")
# Unused by functions: AWS's image lacks the toolkit behind tkinter too; the rest is for building and testing Python.
_NOT_IN_LAMBDA = re.compile(
    r"site-packages|test|idlelib|tkinter|turtledemo|ensurepip|config-.+|(_tkinter|_test|_ctypes_test|xx).*\.so|.+\.opt-[12]\.pyc"
)
_BOOTSTRAP = f"""#!{_PYTHON}
import os
import sys

from awslambdaric.__main__ import main

sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
main([sys.argv[0], os.environ["_HANDLER"]])
""".encode()
_CHANGES = [
    'ENTRYPOINT ["/usr/local/bin/aws-lambda-rie", "/var/runtime/bootstrap"]',
    "WORKDIR /var/task",
    "ENV LANG=en_US.UTF-8",
    "ENV TZ=:/etc/localtime",
    "ENV PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "ENV LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:"
    "/opt/lib",
    "ENV LAMBDA_TASK_ROOT=/var/task",
    "ENV LAMBDA_RUNTIME_DIR=/var/runtime",
    "ENV AWS_EXECUTION_ENV=AWS_Lambda_python3.13",
    f"LABEL {_SUBSTITUTE_REGISTRY}=true",
]


class RuntimeImageError(Exception):
    """There is no Docker engine or no image of the Lambda runtime."""


@dataclass(frozen=True)
class RuntimeImage:
    """An image of the Lambda runtime python3.13, present in the engine.

    Attributes:
        name: Its name.
        prefix: The part of the name in front of that of AWS's image; empty for AWS's image itself.
    """

    name: str
    prefix: str = ""


def docker_client() -> docker.DockerClient:
    """Connect to the Docker engine."""
    try:
        if ENGINE.startswith("unix://"):
            # If nothing listens, Docker's client leaves its socket open.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(ENGINE.removeprefix("unix://"))
        return docker.from_env(timeout=_PULL_SECONDS)
    except (OSError, DockerException) as error:
        raise RuntimeImageError(f"no Docker engine answers at {ENGINE}: install or start one ({error})") from error


def runtime_image(client: docker.DockerClient) -> RuntimeImage:
    """Find or make the image to run functions in.

    In this order: AWS's image if the engine has it; the substitute for this machine if the engine has it; AWS's image
    if it can be pulled; a new substitute. The name of a substitute contains a digest of its files, and so does the name
    of the image that SAM CLI derives from it; outdated ones are removed.
    """
    if _has(client, _AWS_IMAGE):
        return RuntimeImage(_AWS_IMAGE)
    files = dict(_files()) if _can_substitute() else {}
    prefix = f"{_SUBSTITUTE_REGISTRY}/{_digest(files)}"
    substitute = RuntimeImage(f"{prefix}/{_AWS_IMAGE}", prefix)
    if files and _has(client, substitute.name):
        return substitute
    try:
        client.images.pull(_AWS_IMAGE)
    except DockerException as error:
        if not files:
            raise RuntimeImageError(
                f"{_AWS_IMAGE} cannot be pulled ({error}), and a substitute needs Linux and CPython 3.13"
            ) from error
    else:
        return RuntimeImage(_AWS_IMAGE)
    _build(client, substitute, files)
    _remove_outdated(client, prefix)
    return substitute


def _has(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _can_substitute() -> bool:
    return sys.platform == "linux" and sys.version_info[:2] == (3, 13)


type _Source = Path | bytes


def _files() -> Iterator[tuple[str, _Source]]:
    """Yield the files of the substitute: path in the image, and the file on this machine or the content."""
    programs = {"/usr/local/bin/aws-lambda-rie": _rie(), _PYTHON: Path(sys.executable).resolve()}
    programs |= {f"/bin/{tool}": _tool(tool) for tool in _TOOLS}
    modules = {**dict(_standard_library()), **dict(_installed("awslambdaric", "boto3"))}
    yield from programs.items()
    yield from modules.items()
    binaries = [*programs.values(), *(source for name, source in modules.items() if name.endswith(".so"))]
    for library in _shared_libraries(binaries):
        yield library, Path(library)
    yield "/var/runtime/bootstrap", _BOOTSTRAP
    yield "/var/runtime/bootstrap.py", _BOOTSTRAP
    yield "/etc/nsswitch.conf", b"hosts: files dns\n"
    yield "/etc/passwd", b"root:x:0:0::/root:/bin/sh\nsbx_user1051:x:993:990::/home/sbx_user1051:/bin/sh\n"
    authorities = ssl.get_default_verify_paths().openssl_cafile
    if Path(authorities).exists():
        yield authorities, Path(authorities).resolve()


def _rie() -> Path:
    return Path(samcli.__file__).parent / "local/rapid" / f"aws-lambda-rie-{host_architecture()}"


def _tool(name: str) -> Path:
    path = shutil.which(name)
    if not path:
        raise RuntimeImageError(f"this machine has no {name}, which the substitute image needs")
    return Path(path).resolve()


def _standard_library() -> Iterator[tuple[str, Path]]:
    root = Path(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix}))
    for folder, folders, names in root.walk():
        folders[:] = [name for name in folders if not _NOT_IN_LAMBDA.fullmatch(name)]
        for name in names:
            if not _NOT_IN_LAMBDA.fullmatch(name):
                yield f"{_STDLIB}/{(folder / name).relative_to(root)}", folder / name


def _installed(*names: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of installed packages and of their requirements."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = distribution(name)
        except PackageNotFoundError as error:
            raise RuntimeImageError(f"{name} is not installed: run `make setup`") from error
        for file in package.files or ():
            if ".." in file.parts:  # a command
                continue
            path = Path(str(package.locate_file(file)))
            yield f"{_STDLIB}/site-packages/{file}", path
            # Not every installer lists the bytecode that it compiled.
            bytecode = Path(cache_from_source(path))
            if path.suffix == ".py" and bytecode.exists():
                yield f"{_STDLIB}/site-packages/{file.parent}/__pycache__/{bytecode.name}", bytecode
        requirements = map(Requirement, package.requires or ())
        waiting += [need.name for need in requirements if not need.marker or need.marker.evaluate({"extra": ""})]


def _shared_libraries(binaries: list[Path]) -> list[str]:
    # The exit code is 1 if a program is linked statically.
    output = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False, timeout=60).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", output)))


def _digest(files: dict[str, _Source]) -> str:
    """Return a digest of the files by size and modification time, as make and rsync compare files."""
    digest = hashlib.sha256("\n".join(_CHANGES).encode())
    for name, source in sorted(files.items()):
        content = source if isinstance(source, bytes) else _stamp(source)
        digest.update(b"%b\0%b\0" % (name.encode(), content))
    return digest.hexdigest()[:12]


def _stamp(path: Path) -> bytes:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _build(client: docker.DockerClient, image: RuntimeImage, files: dict[str, _Source]) -> None:
    repository, _, tag = image.name.rpartition(":")
    with TemporaryFile() as archive:
        _write(archive, files)
        archive.seek(0)
        client.api.import_image(archive, repository=repository, tag=tag, changes=_CHANGES)
    if not _has(client, image.name):
        raise RuntimeImageError(f"the Docker engine did not import {image.name}")


def _write(archive: IO[bytes], files: dict[str, _Source]) -> None:
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for folder, mode in (("tmp", 0o1777), ("var/task", 0o755), ("opt", 0o755), ("root", 0o700)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, source in files.items():
            if isinstance(source, bytes):
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.size, entry.mode = len(source), 0o755
                tar.addfile(entry, BytesIO(source))
            else:
                # Modules keep their modification times, against which bytecode is checked.
                tar.add(source.resolve(), name.lstrip("/"), filter=_as_root)


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o444
    return entry


def _remove_outdated(client: docker.DockerClient, prefix: str) -> None:
    for image in client.images.list(filters={"label": _SUBSTITUTE_REGISTRY}):
        for name in image.tags:
            if not name.startswith(f"{prefix}/"):
                try:
                    client.images.remove(name)
                except APIError:
                    continue  # in use by a container; the next build removes it
