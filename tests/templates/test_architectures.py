"""Packages with compiled dependencies are built for the function's architecture, pure ones for either."""

import hashlib
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.functions import BARE_PYTHON
from cross_account_access.templates import PROJECT
from tests.support.scratch import make
from tests.support.wheels import wheel
from tests.templates.stacks import SIDES, written

pytestmark = pytest.mark.slow  # Each test runs pip.

CPUS = {"arm64": "aarch64", "x86_64": "x86_64"}

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
        made = [wheel(self._wheels, name, "1.0", tag=tag, **{name: f"TAG = {tag!r}\n"}) for tag in tags]
        hashes = [f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in made]
        return " ".join([f"{name}==1.0", *hashes]) + "\n"

    def build(self, requirements: str, architecture: str, **settings: str) -> tuple[Path, str]:
        """Build the package as SAM does, and return it with what make printed."""
        (self._folder / "mine/requirements.txt").write_text(requirements)
        package = self._folder / "package"
        package.mkdir()
        environment = {"ARTIFACTS_DIR": str(package), "ARCHITECTURE": architecture, **settings}
        made = make(self._folder, "build-MineFunction", "PACKAGES=mine", environment=environment)
        if made.returncode:
            raise RuntimeError(made.stdout)
        return package, made.stdout

    def build_offline(self, requirements: str, architecture: str, **settings: str) -> tuple[Path, str]:
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self._wheels)}
        return self.build(requirements, architecture, **offline | settings)


@pytest.fixture
def functions(tmp_path: Path) -> Functions:
    return Functions(tmp_path)


def test_a_compiled_dependency_is_built_for_the_architecture(functions: Functions) -> None:
    """This machine's, so that the library can be loaded."""
    architecture = next((name for name, cpu in CPUS.items() if cpu == platform.machine()), None)
    if not architecture:
        pytest.skip("Lambda's libraries cannot be loaded here")
    package, printed = functions.build(ORJSON, architecture)
    assert list(package.rglob("*.so"))
    assert f"build-MineFunction: compiled dependencies for {architecture}\n" in printed
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


def test_a_pure_package_is_taken_on_either_architecture(functions: Functions) -> None:
    """Even if there are compiled wheels of it as well, as of charset-normalizer."""
    requirement = functions.publish(
        "both", "py3-none-any", *(f"cp313-cp313-manylinux_2_17_{cpu}" for cpu in CPUS.values())
    )
    package, printed = functions.build_offline(requirement, "x86_64")
    assert (package / "both.py").read_text() == "TAG = 'py3-none-any'\n"
    assert printed == ""


@pytest.mark.parametrize("architecture", CPUS)
def test_every_wheel_that_lambda_can_load_is_taken(functions: Functions, architecture: str) -> None:
    linuxes = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")
    tags = [f"{abi}-{linux}" for abi in ("cp313-cp313", "cp39-abi3") for linux in linuxes]
    names = {tag.replace("-", "_"): tag for tag in tags}
    requirements = [functions.publish(name, *(f"{tag}_{cpu}" for cpu in CPUS.values())) for name, tag in names.items()]
    pure = functions.publish("pure", "py2.py3-none-any")
    package, _ = functions.build_offline("".join([*requirements, pure]), architecture)
    for name, tag in names.items():
        assert (package / f"{name}.py").read_text() == f"TAG = '{tag}_{CPUS[architecture]}'\n"
    assert (package / "pure.py").exists()


def test_no_other_wheel_is_taken(functions: Functions) -> None:
    requirement = functions.publish(
        "native",
        "cp313-cp313-manylinux_2_35_aarch64",  # Amazon Linux 2023 has glibc 2.34.
        "cp313-cp313-manylinux_2_17_x86_64",
        "cp313-cp313-musllinux_1_2_aarch64",
        "cp313-cp313-macosx_11_0_arm64",
        "cp312-cp312-manylinux_2_17_aarch64",
        "cp313-cp313t-manylinux_2_17_aarch64",
    )
    with pytest.raises(RuntimeError, match=r"No matching distribution found for native==1\.0"):
        functions.build_offline(requirement, "arm64")


def test_a_wheel_with_another_hash_is_refused(functions: Functions) -> None:
    requirement = functions.publish("pure", "py3-none-any")
    with pytest.raises(RuntimeError, match="DO NOT MATCH THE HASHES"):
        functions.build_offline(re.sub("sha256:.{8}", "sha256:00000000", requirement), "arm64")


def test_where_the_users_own_pip_installs_does_not_matter(functions: Functions, tmp_path: Path) -> None:
    elsewhere, config = tmp_path / "elsewhere", tmp_path / "pip.conf"
    config.write_text(f"[install]\nuser = true\nprefix = {elsewhere}\nroot = {elsewhere}\n")
    settings = {"PIP_USER": "1", "PIP_TARGET": str(elsewhere), "PIP_CONFIG_FILE": str(config)}

    package, _ = functions.build_offline(functions.publish("pure", "py3-none-any"), "arm64", **settings)

    assert (package / "pure.py").exists()
    assert not elsewhere.exists()


@pytest.mark.parametrize("architecture", ["", "aarch64", "arm64 x86_64"])
def test_an_unknown_architecture_is_refused(functions: Functions, architecture: str) -> None:
    with pytest.raises(RuntimeError, match=f'ARCHITECTURE must be arm64 or x86_64, not "{architecture}"'):
        functions.build_offline("", architecture)


def test_the_default_is_the_templates_default() -> None:
    default = re.findall(r"^ARCHITECTURE \?= (.+)$", (PROJECT / "functions/Makefile").read_text(), re.M)
    for parameter in (written(side)["Parameters"]["Architecture"] for side in SIDES):
        assert default == [parameter["Default"]]
        assert set(parameter["AllowedValues"]) == set(CPUS)
