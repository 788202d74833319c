"""A substitute for AWS's image, built from this machine's Python, for tests and work without a network.

It contains what AWS's image contains for a function: the Lambda runtime client, boto3, Python in /var/lang, and the
runtime interface emulator, which SAM CLI ships.
https://docs.aws.amazon.com/lambda/latest/dg/python-image.html#python-image-base
"""

from __future__ import annotations

import hashlib
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import cache_from_source
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import docker
import samcli
from docker.errors import APIError

from lab.process import host_architecture

REGISTRY = "lambda-substitute.localhost"

_PYTHON = "/var/lang/bin/python3.13"
_STDLIB = "/var/lang/lib/python3.13"
# The runtime client and boto3, with their requirements.
_PACKAGES = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"),
)
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
    f"LABEL {REGISTRY}=true",
]

type Source = Path | bytes


class RuntimeImageError(Exception):
    """There is no Docker engine or no image of the Lambda runtime."""


def is_supported() -> bool:
    """Return whether a substitute can be built on this machine."""
    return sys.platform == "linux" and sys.version_info[:2] == (3, 13)


def source_files() -> Iterator[tuple[str, Source]]:
    """Yield the files of the substitute: path in the image, and the file on this machine or the content."""
    programs = {"/usr/local/bin/aws-lambda-rie": _rie(), _PYTHON: Path(sys.executable).resolve()}
    programs |= {f"/bin/{tool}": _tool(tool) for tool in _TOOLS}
    modules = {**dict(_standard_library()), **dict(_packages())}
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


def _packages() -> Iterator[tuple[str, Path]]:
    for name in _PACKAGES:
        try:
            package = distribution(name)
        except PackageNotFoundError as error:
            raise RuntimeImageError(f"{name} is not installed: run `make setup`") from error
        for file in package.files or ():
            path = Path(str(package.locate_file(file)))
            if ".." in file.parts:  # a command
                continue
            yield f"{_STDLIB}/site-packages/{file}", path
            # Not every installer lists the bytecode that it compiled.
            bytecode = Path(cache_from_source(path))
            if path.suffix == ".py" and bytecode.exists():
                yield f"{_STDLIB}/site-packages/{file.parent}/__pycache__/{bytecode.name}", bytecode


def _shared_libraries(binaries: list[Path]) -> list[str]:
    # The exit code is 1 if a program is linked statically.
    output = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False, timeout=60).stdout
    return sorted(set(re.findall(r"(/\S+) \(0x", output)))


def digest(files: Mapping[str, Source]) -> str:
    """Return a digest of the files by size and modification time, as make and rsync compare files."""
    result = hashlib.sha256("\n".join(_CHANGES).encode())
    for name, source in sorted(files.items()):
        content = source if isinstance(source, bytes) else _stamp(source)
        result.update(b"%b\0%b\0" % (name.encode(), content))
    return result.hexdigest()[:12]


def _stamp(path: Path) -> bytes:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def build(client: docker.DockerClient, name: str, files: Mapping[str, Source]) -> None:
    """Build a substitute from these files."""
    repository, _, tag = name.rpartition(":")
    with TemporaryFile() as archive:
        _write(archive, files)
        archive.seek(0)
        client.api.import_image(archive, repository=repository, tag=tag, changes=_CHANGES)
    client.images.get(name)


def _write(archive: IO[bytes], files: Mapping[str, Source]) -> None:
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


def remove_outdated(client: docker.DockerClient, prefix: str) -> None:
    """Remove the substitutes with another prefix, and the images that SAM CLI derived from them."""
    for image in client.images.list(filters={"label": REGISTRY}):
        for name in image.tags:
            if not name.startswith(f"{prefix}/"):
                try:
                    client.images.remove(name)
                except APIError:
                    continue  # in use by a container; the next build removes it
