"""A substitute for AWS's image where that cannot be pulled: this machine's Python, the runtime client and boto3.

https://docs.aws.amazon.com/lambda/latest/dg/python-image.html#python-image-base
"""

import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib.metadata import distribution, version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

import docker
import samcli

from cross_account_lab.containers.image import AWS_IMAGE
from cross_account_lab.process import host_architecture

_PYTHON = "/var/lang/bin/python3.13"
_STDLIB = "/var/lang/lib/python3.13"
# The runtime client and boto3, with their requirements.
_PACKAGES = (
    *("awslambdaric", "simplejson", "snapshot-restore-py"),
    *("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3"),
)
# Used by SAM CLI to derive its own image from this one.
_TOOLS = ("sh", "mv", "chmod", "cp", "rm")
_BOOTSTRAP = f"""#!{_PYTHON}
import os
import sys

from awslambdaric.__main__ import main

sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
main([sys.argv[0], os.environ["_HANDLER"]])
"""
_TEXTS = {
    "/var/runtime/bootstrap": _BOOTSTRAP,
    "/etc/nsswitch.conf": "hosts: files dns\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nsbx_user1051:x:993:990::/home/sbx_user1051:/bin/sh\n",
}
_CHANGES = [
    'ENTRYPOINT ["/usr/local/bin/aws-lambda-rie", "/var/runtime/bootstrap"]',
    "WORKDIR /var/task",
    "ENV PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "ENV LAMBDA_TASK_ROOT=/var/task",
    "ENV LAMBDA_RUNTIME_DIR=/var/runtime",
]


def substitute(client: docker.DockerClient) -> str:
    """Return the name of the image, built once for each version of what it holds."""
    parts = [sys.version, *map(version, ("aws-sam-cli", *_PACKAGES)), Path(__file__).read_text()]
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    name = f"lambda-substitute.localhost/{digest}/{AWS_IMAGE}"
    if not client.images.list(name):
        _build(client, name)
    return name


def _build(client: docker.DockerClient, name: str) -> None:
    with TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for folder, mode in (("tmp", 0o1777), ("var/task", 0o755), ("opt", 0o755), ("root", 0o700)):
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, mode
                tar.addfile(entry)
            for path, text in _TEXTS.items():
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(text), 0o755
                tar.addfile(entry, BytesIO(text.encode()))
            for path, source in _sources().items():
                # Modules keep their modification times, against which bytecode is checked.
                tar.add(source.resolve(), path, filter=_in_lambda)
        archive.seek(0)
        repository, _, tag = name.rpartition(":")
        client.api.import_image(archive, repository=repository, tag=tag, changes=_CHANGES)
    client.images.get(name)  # an import that fails raises nothing


def _sources() -> dict[str, Path]:
    """Return the files and folders of this machine by path in the image."""
    emulator = Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{host_architecture()}"
    programs = {"/usr/local/bin/aws-lambda-rie": emulator, _PYTHON: Path(sys.executable).resolve()}
    programs |= {f"/bin/{tool}": Path(str(shutil.which(tool))) for tool in _TOOLS}
    modules = {_STDLIB: Path(sysconfig.get_path("platstdlib", vars={"platbase": sys.base_exec_prefix}))}
    for name in _PACKAGES:
        found = distribution(name)
        tops = {file.parts[0] for file in found.files or () if file.parts[0] != ".."}  # not its commands
        modules |= {f"{_STDLIB}/site-packages/{top}": Path(str(found.locate_file(top))) for top in tops}
    libraries = [
        file for source in modules.values() for file in (source, *source.rglob("*.so")) if file.suffix == ".so"
    ]
    # The exit code is 1 if a program is linked statically.
    linked = subprocess.run(
        ["ldd", *programs.values(), *libraries], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    return {**programs, **modules, **{path: Path(path) for path in re.findall(r"(/\S+) \(0x", linked)}}


def _in_lambda(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what no function uses."""
    unused = r"(.*/)?(test|idlelib|ensurepip|config-[^/]+|[^/]+\.opt-[12]\.pyc|python3.13/site-packages)"
    return None if re.fullmatch(unused, entry.name) else entry
