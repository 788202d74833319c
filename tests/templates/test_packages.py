"""What `sam build` puts into each function's package: pure Python, its own code only, bytecode inside."""

import importlib.util
import json
import re
from itertools import chain
from pathlib import Path

import pytest

from benchmarks.functions import Function, build, invoke, runtime, zipped
from benchmarks.server import running
from cross_account_access.templates import PROJECT
from cross_account_lab.functions import read_functions

PACKAGES = {name: function.properties["Handler"].partition(".")[0] for name, function in read_functions().items()}
pytestmark = pytest.mark.slow  # Two packages are made, just as SAM makes them.


@pytest.fixture(scope="module", params=sorted(PACKAGES))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A function's logical id and its package."""
    return request.param, build(request.param, tmp_path_factory.mktemp("packages"))


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


def test_every_module_has_bytecode_that_unpacking_keeps_valid(built: tuple[str, Path]) -> None:
    _, folder = built
    modules = list(folder.rglob("*.py"))
    assert modules
    for module in modules:
        code = Path(importlib.util.cache_from_source(str(module))).read_bytes()
        assert code[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(code[4:8], "little") == 0b01, f"{module} is not hash-based and unchecked"


# The largest package, and what each function returns for the events of its kind: a status, or the messages that are
# delivered again.
LARGEST = {"CallerFunction": 3_600_000, "OrdersFunction": 2_500_000}
RESPONSES: dict[str, dict[str, object]] = {
    "CallerFunction": {
        "call-sqs-odd": [
            {"itemIdentifier": f"059f36b4-87a3-44ab-83d2-6619759701{number:02}"} for number in range(2, 10)
        ],
        "call-sqs-poison": [
            {"itemIdentifier": "059f36b4-87a3-44ab-83d2-661975970002"},
            {"itemIdentifier": "059f36b4-87a3-44ab-83d2-661975970003"},
        ],
        "destination-envelope": 200,
        "direct-call": 200,
        "scheduled-call": 200,
        "sqs-batch": [],
    },
    "OrdersFunction": {
        "api-bad-body": 400,
        "api-cancel-order": 200,
        "api-create-order": 201,
        "api-get-order": 200,
        "api-list-orders": 200,
        "api-other-consumer": 200,
        "api-whoami": 200,
    },
}


def test_the_package_is_small_and_needs_only_the_runtime(built: tuple[str, Path], tmp_path: Path) -> None:
    function, package = built
    assert zipped(package) <= LARGEST[function]
    handler = Function(f"{PACKAGES[function]}.handler.handler", (package, runtime(tmp_path)))
    events = [json.loads((PROJECT / f"events/{name}.json").read_text()) for name in RESPONSES[function]]
    (tmp_path / "server").mkdir()
    with running(tmp_path / "server") as server:
        returned = [invocation.result for invocation in invoke(handler, events, server.environment())]
    kinds = ("statusCode", "status", "batchItemFailures")
    responses = [next(result[kind] for kind in kinds if kind in result) for result in returned]
    assert dict(zip(RESPONSES[function], responses, strict=True)) == RESPONSES[function]


def test_every_event_is_tried() -> None:
    assert {event.stem for event in (PROJECT / "events").glob("*.json")} == {*chain(*RESPONSES.values())}
