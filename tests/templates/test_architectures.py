"""Packages with compiled dependencies are built for the function's architecture, pure ones for either."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.functions import BARE_PYTHON
from cross_account_access.templates import PROJECT, Side, source

# The ELF header's machine: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
MACHINES = {"arm64": 183, "x86_64": 62}
CPUS = {"arm64": "aarch64", "x86_64": "x86_64"}
every_architecture = pytest.mark.parametrize("architecture", MACHINES)

ORJSON = """\
orjson==3.13.0 \\
    --hash=sha256:b081f0e7b600ff24513dec4ca75507fa05e904607847e386e8310d5b7b96b6c7 \\
    --hash=sha256:cbed5f4c4b88d94bcc36115f4c3bb3aa25da1563a5c3328aa3acebce2b083040
"""


class Functions:
    """A copy of the folder of functions with one whose requirements are given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wheels = folder / "wheels"
        self._wheels.mkdir()
        (folder / "mine").mkdir()
        (folder / "mine/handler.py").write_text("def handler(event, context): return event\n")
        shutil.copy(PROJECT / "functions/Makefile", folder)

    def publish(self, name: str, *tags: str) -> str:
        """Make wheels of a package, and return the requirement that names them all."""
        hashes = []
        for tag in tags:
            path = self._wheels / f"{name}-1.0-{tag}.whl"
            files = {
                f"{name}.py": f"TAG = {tag!r}\n",
                f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
                f"{name}-1.0.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
            }
            record = f"{name}-1.0.dist-info/RECORD"
            lines = [f"{file},sha256={_digest(text)},{len(text)}" for file, text in files.items()]
            with zipfile.ZipFile(path, "w") as wheel:
                for file, text in files.items():
                    wheel.writestr(file, text)
                wheel.writestr(record, "\n".join([*lines, f"{record},,\n"]))
            hashes.append(f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
        return " ".join([f"{name}==1.0", *hashes]) + "\n"

    def build(
        self, requirements: str, architecture: str | None, environment: Mapping[str, str] | None = None
    ) -> tuple[Path, str]:
        """Build the package as SAM does, and return it with what make printed."""
        (self._folder / "mine/requirements.txt").write_text(requirements)
        package = self._folder / f"package-{architecture}"
        package.mkdir()
        made = subprocess.run(
            [
                "make",
                "--no-print-directory",
                "--makefile",
                self._folder / "Makefile",
                "build-MineFunction",
                "PACKAGES=mine",
            ],
            cwd=self._folder,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ARTIFACTS_DIR": str(package),
                **({} if architecture is None else {"ARCHITECTURE": architecture}),
                **(environment or {}),
            },
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(made.stdout)
        return package, made.stdout

    def build_offline(self, requirements: str, architecture: str | None, **settings: str) -> tuple[Path, str]:
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self._wheels)}
        return self.build(requirements, architecture, offline | settings)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def content(package: Path) -> dict[str, bytes]:
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*") if path.is_file()}


@pytest.fixture
def functions(tmp_path: Path) -> Functions:
    return Functions(tmp_path)


@every_architecture
def test_a_compiled_dependency_is_built_for_the_architecture(functions: Functions, architecture: str) -> None:
    package, printed = functions.build(ORJSON, architecture)
    [library] = package.rglob("*.so")
    header = library.read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == MACHINES[architecture]
    assert f"build-MineFunction: compiled dependencies for {architecture}\n" in printed
    if platform.machine() == CPUS[architecture]:
        code = "import orjson; print(orjson.dumps({'a': [1]}).decode())"
        run = subprocess.run(
            [BARE_PYTHON, "-S", "-c", code],
            env={"PYTHONPATH": str(package)},
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
        assert run.stdout == '{"a":[1]}\n'


def test_pure_packages_are_the_same_on_both_architectures(functions: Functions) -> None:
    """Even if there are compiled wheels of them as well, as of charset-normalizer."""
    requirement = functions.publish(
        "both", "py3-none-any", *(f"cp313-cp313-manylinux_2_17_{cpu}" for cpu in CPUS.values())
    )
    packages = [functions.build_offline(requirement, architecture) for architecture in (None, *MACHINES)]
    first, *others = (content(package) for package, _ in packages)
    assert first["both.py"] == b"TAG = 'py3-none-any'\n"
    assert all(other == first for other in others)
    assert [printed for _, printed in packages] == ["", "", ""]


@every_architecture
def test_every_wheel_that_lambda_can_load_is_taken(functions: Functions, architecture: str) -> None:
    linuxes = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")
    wheels = {f"{abi}-{linux}" for abi in ("cp313-cp313", "cp39-abi3") for linux in linuxes}
    names = {wheel.replace("-", "_"): wheel for wheel in wheels}
    requirements = [
        functions.publish(name, *(f"{wheel}_{cpu}" for cpu in CPUS.values())) for name, wheel in names.items()
    ]
    pure = functions.publish("pure", "py2.py3-none-any")
    package, _ = functions.build_offline("".join([*requirements, pure]), architecture)
    for name, wheel in names.items():
        assert (package / f"{name}.py").read_text() == f"TAG = '{wheel}_{CPUS[architecture]}'\n"
    assert (package / "pure.py").exists()


@pytest.mark.parametrize(
    "tag",
    [
        "cp313-cp313-manylinux_2_35_aarch64",  # Amazon Linux 2023 has glibc 2.34.
        "cp313-cp313-manylinux_2_17_x86_64",
        "cp313-cp313-musllinux_1_2_aarch64",
        "cp313-cp313-macosx_11_0_arm64",
        "cp312-cp312-manylinux_2_17_aarch64",
        "cp313-cp313t-manylinux_2_17_aarch64",
    ],
)
def test_no_other_wheel_is_taken(functions: Functions, tag: str) -> None:
    with pytest.raises(RuntimeError, match=r"No matching distribution found for native==1\.0"):
        functions.build_offline(functions.publish("native", tag), "arm64")


def test_a_wheel_with_another_hash_is_refused(functions: Functions) -> None:
    requirement = functions.publish("pure", "py3-none-any")
    with pytest.raises(RuntimeError, match="DO NOT MATCH THE HASHES"):
        functions.build_offline(re.sub("sha256:.{8}", "sha256:00000000", requirement), "arm64")


@pytest.mark.parametrize("name", ["USER", "PREFIX", "ROOT", "TARGET", "REQUIRE_VIRTUALENV", "CONFIG_FILE"])
def test_where_the_users_own_pip_installs_does_not_matter(functions: Functions, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "pip.conf").write_text(f"[install]\nuser = true\nprefix = {elsewhere}\nroot = {elsewhere}\n")
    values = {"USER": "1", "REQUIRE_VIRTUALENV": "1", "CONFIG_FILE": str(tmp_path / "pip.conf")}

    package, _ = functions.build_offline(
        functions.publish("pure", "py3-none-any"), "arm64", **{f"PIP_{name}": values.get(name, str(elsewhere))}
    )

    assert (package / "pure.py").exists()
    assert not elsewhere.exists()


@pytest.mark.parametrize("architecture", ["", "arm", "aarch64", "arm64 x86_64"])
def test_an_unknown_architecture_is_refused(functions: Functions, architecture: str) -> None:
    with pytest.raises(RuntimeError, match=f'ARCHITECTURE must be arm64 or x86_64, not "{architecture}"'):
        functions.build_offline("", architecture)


@pytest.mark.parametrize("side", ["a", "b"])
def test_the_default_is_the_templates_default(side: Side) -> None:
    parameter = source(side)["Parameters"]["Architecture"]
    makefile = (PROJECT / "functions/Makefile").read_text()
    assert re.findall(r"^ARCHITECTURE \?= (.+)$", makefile, re.M) == [parameter["Default"]]
    assert set(parameter["AllowedValues"]) == set(MACHINES)
