"""A substitute for AWS's image, built from this machine's Python, for tests and work without a network.

It contains what AWS's image contains for a function: the Lambda runtime client, boto3, Python in /var/lang, and the
runtime interface emulator, which SAM CLI ships.
https://docs.aws.amazon.com/lambda/latest/dg/python-image.html#python-image-base
"""

import hashlib
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from importlib.util import cache_from_source
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

import docker
import samcli

from cross_account_lab.process import host_architecture

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


def source_files() -> Iterator[tuple[str, Source]]:
    """Yield the files of the substitute: path in the image, and the file on this machine or the content."""
    emulator = Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{host_architecture()}"
    programs = {"/usr/local/bin/aws-lambda-rie": emulator, _PYTHON: Path(sys.executable).resolve()}
    programs |= {f"/bin/{tool}": Path(shutil.which(tool) or f"/bin/{tool}").resolve() for tool in _TOOLS}
    modules = {**dict(_standard_library()), **dict(_packages())}
    yield from programs.items()
    yield from modules.items()
    binaries = [*programs.values(), *(source for name, source in modules.items() if name.endswith(".so"))]
    # The exit code is 1 if a program is linked statically.
    linked = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False, timeout=60).stdout
    for library in set(re.findall(r"(/\S+) \(0x", linked)):
        yield library, Path(library)
    yield "/var/runtime/bootstrap", _BOOTSTRAP
    yield "/var/runtime/bootstrap.py", _BOOTSTRAP
    yield "/etc/nsswitch.conf", b"hosts: files dns\n"
    yield "/etc/passwd", b"root:x:0:0::/root:/bin/sh\nsbx_user1051:x:993:990::/home/sbx_user1051:/bin/sh\n"
    authorities = ssl.get_default_verify_paths().openssl_cafile
    if Path(authorities).exists():
        yield authorities, Path(authorities).resolve()


def _standard_library() -> Iterator[tuple[str, Path]]:
    root = Path(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix}))
    for folder, folders, names in root.walk():
        folders[:] = [name for name in folders if not _NOT_IN_LAMBDA.fullmatch(name)]
        for name in names:
            if not _NOT_IN_LAMBDA.fullmatch(name):
                yield f"{_STDLIB}/{(folder / name).relative_to(root)}", folder / name


def _packages() -> Iterator[tuple[str, Path]]:
    for name in _PACKAGES:
        for file in distribution(name).files or ():
            path = Path(str(file.locate()))
            if ".." in file.parts:  # a command
                continue
            yield f"{_STDLIB}/site-packages/{file}", path
            # Not every installer lists the bytecode that it compiled.
            bytecode = Path(cache_from_source(path))
            if path.suffix == ".py" and bytecode.exists():
                yield f"{_STDLIB}/site-packages/{file.parent}/__pycache__/{bytecode.name}", bytecode


def digest(files: Mapping[str, Source]) -> str:
    """Return a digest of the files by size and modification time, as make and rsync compare files."""
    stamps = {
        name: source if isinstance(source, bytes) else (source.stat().st_size, source.stat().st_mtime_ns)
        for name, source in sorted(files.items())
    }
    return hashlib.sha256(repr((_CHANGES, stamps)).encode()).hexdigest()[:12]


def build(client: docker.DockerClient, image: str, files: Mapping[str, Source]) -> None:
    """Build a substitute from these files."""
    with TemporaryFile() as archive:
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
        archive.seek(0)
        repository, _, tag = image.rpartition(":")
        client.api.import_image(archive, repository=repository, tag=tag, changes=_CHANGES)
    client.images.get(image)


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o444
    return entry
