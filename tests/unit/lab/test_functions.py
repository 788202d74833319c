import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from cross_account_access.contract import Example
from cross_account_access.model import Route
from cross_account_access.project import PROJECT
from cross_account_lab import functions
from cross_account_lab.functions import Function, function_for

EVENTS = sorted((PROJECT / "events").glob("*.json"))


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_requests_go_to_the_backend_all_else_to_the_caller(path: Path) -> None:
    function = function_for(json.loads(path.read_text()))

    assert bool(function.routes) == path.name.startswith("api-") == (function.account == "account-a")
    assert function.reads_queue != bool(function.routes)


def test_of_several_backends_the_one_with_the_route_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    served = {
        "List": ("GET", "/things"),
        "Get": ("GET", "/things/{id}"),
        "Put": ("PUT", "/things/{id}"),
        "Any": ("ANY", "/others"),
    }
    routes = [
        Route(method, path, "AWS_IAM", name, granted=True, promised=True, example=Example(path))
        for name, (method, path) in served.items()
    ]
    backends = {name: Function(name, "account-a", {}) for name in served}
    monkeypatch.setattr(functions, "load", lambda: SimpleNamespace(routes=routes))
    monkeypatch.setattr(functions, "read_functions", lambda: backends)

    assert function_for({"httpMethod": "GET", "resource": "/things/{id}"}).name == "Get"
    assert function_for({"httpMethod": "PUT", "resource": "/things/{id}"}).name == "Put"
    assert function_for({"httpMethod": "PUT", "resource": "/others"}).name == "Any"
    assert function_for({"httpMethod": "GET", "resource": "/nothing"}).name == "List"
    assert backends["Put"].routes == [routes[2]]
