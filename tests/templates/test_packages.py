"""What `sam build` puts into each function's package: pure Python, its own code only, bytecode inside."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from benchmarks.functions import Function, build, invoke, runtime, zipped
from benchmarks.server import running
from cross_account_access.templates import PROJECT
from cross_account_lab.functions import read_functions

PACKAGES = {name: function.properties["Handler"].partition(".")[0] for name, function in read_functions().items()}


pytestmark = pytest.mark.slow  # Two packages are made, just as SAM makes them.


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package of each function by its logical id."""
    return {name: build(name, tmp_path_factory.mktemp("packages")) for name in PACKAGES}


@pytest.fixture(params=sorted(PACKAGES))
def built(request: pytest.FixtureRequest, packages: dict[str, Path]) -> tuple[str, Path]:
    """A function's logical id and its package."""
    return request.param, packages[request.param]


def normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def test_the_package_holds_only_its_code_and_requirements(built: tuple[str, Path]) -> None:
    function, folder = built
    package = PACKAGES[function]
    pinned = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (PROJECT / f"functions/{package}/requirements.txt").read_text(), re.M)
    )
    installed = dict(item.name.removesuffix(".dist-info").rsplit("-", 1) for item in folder.glob("*.dist-info"))
    assert {normalized(name): version for name, version in installed.items()} == {
        normalized(name): version for name, version in pinned.items()
    }
    others = set(PACKAGES.values()) - {package}
    assert (folder / package / "handler.py").exists()
    assert not any((folder / other).exists() for other in others)
    assert not (folder / "boto3").exists(), "Lambda's runtime includes it"
    assert not (folder / "call_api").exists(), "the command line is not deployed"


def test_the_package_runs_on_any_architecture(built: tuple[str, Path]) -> None:
    _, folder = built
    assert not [item for item in folder.rglob("*") if item.suffix in {".so", ".pyd", ".dylib"}]
    for wheel in folder.glob("*.dist-info/WHEEL"):
        assert re.findall("^Root-Is-Purelib: (.+)$", wheel.read_text(), re.M) == ["true"]
        assert re.findall("^Tag: .+-(.+)$", wheel.read_text(), re.M) == ["any"] * wheel.read_text().count("Tag: ")


def test_every_module_has_bytecode_that_unpacking_keeps_valid(built: tuple[str, Path]) -> None:
    _, folder = built
    modules = list(folder.rglob("*.py"))
    assert modules
    for module in modules:
        code = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert code[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(code[4:8], "little") == 0b01, f"{module} is not hash-based and unchecked"


# What the caller returns for each event: a status, or the messages that are delivered again.
RESPONSES: dict[str, object] = {
    "call-sqs-odd": [{"itemIdentifier": f"059f36b4-87a3-44ab-83d2-6619759701{number:02}"} for number in range(2, 10)],
    "call-sqs-poison": [
        {"itemIdentifier": "059f36b4-87a3-44ab-83d2-661975970002"},
        {"itemIdentifier": "059f36b4-87a3-44ab-83d2-661975970003"},
    ],
    "destination-envelope": 200,
    "direct-call": 200,
    "scheduled-call": 200,
    "sqs-batch": [],
}


def test_the_callers_package_is_small_and_needs_only_the_runtime(packages: dict[str, Path], tmp_path: Path) -> None:
    assert {event.stem for event in (PROJECT / "events").glob("*.json") if event.stem[:4] != "api-"} == set(RESPONSES)
    package = packages["CallerFunction"]
    assert zipped(package) <= 3_600_000
    handler = Function("cross_account_caller.handler.handler", (package, runtime(tmp_path)))
    events = [json.loads((PROJECT / f"events/{name}.json").read_text()) for name in RESPONSES]
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        returned = [invocation.result for invocation in invoke(handler, events, server.environment())]
    responses = [result.get("status", result.get("batchItemFailures")) for result in returned]
    assert dict(zip(RESPONSES, responses, strict=True)) == RESPONSES
