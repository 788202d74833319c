"""What `sam build` puts into each function's package: pure Python, its own code only, bytecode inside."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.templates import PROJECT, Side

PACKAGES: dict[str, tuple[Side, str]] = {"OrdersFunction": ("a", "orders"), "CallerFunction": ("b", "caller")}


@pytest.fixture(scope="module", params=sorted(PACKAGES))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A function's logical id and its package, made just as SAM makes it."""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run(
        ["make", "--no-print-directory", f"build-{request.param}", f"ARTIFACTS_DIR={folder}"],
        cwd=PROJECT / "functions",
        check=True,
        capture_output=True,
        timeout=120,
    )
    return request.param, folder


def normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_the_package_holds_its_own_code_and_its_pinned_requirements_only(built: tuple[str, Path]) -> None:
    function, folder = built
    _, package = PACKAGES[function]
    pinned = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (PROJECT / f"functions/{package}/requirements.txt").read_text(), re.M)
    )
    installed = dict(item.name.removesuffix(".dist-info").rsplit("-", 1) for item in folder.glob("*.dist-info"))
    assert {normalized(name): version for name, version in installed.items()} == {
        normalized(name): version for name, version in pinned.items()
    }
    others = {other for _, other in PACKAGES.values()} - {package}
    assert (folder / package / "handler.py").exists()
    assert not any((folder / other).exists() for other in others)
    assert not (folder / "boto3").exists(), "the runtime brings it"
    assert not (folder / "bin").exists()


def test_the_package_runs_on_any_architecture(built: tuple[str, Path]) -> None:
    _, folder = built
    assert not [item for item in folder.rglob("*") if item.suffix in {".so", ".pyd", ".dylib"}]
    for wheel in folder.glob("*.dist-info/WHEEL"):
        assert re.findall("^Root-Is-Purelib: (.+)$", wheel.read_text(), re.M) == ["true"]
        assert re.findall("^Tag: .+-(.+)$", wheel.read_text(), re.M) == ["any"] * wheel.read_text().count("Tag: ")


def test_every_module_brings_bytecode_that_no_unpacking_makes_stale(built: tuple[str, Path]) -> None:
    _, folder = built
    modules = list(folder.rglob("*.py"))
    assert modules
    for module in modules:
        code = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert code[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(code[4:8], "little") == 0b01, f"{module} is not hash-based and unchecked"
