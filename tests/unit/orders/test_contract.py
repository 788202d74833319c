"""The OpenAPI document agrees with code and template."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from cross_account_access.templates import PROJECT, resolved
from orders.errors import ApiError, Problem

type Route = tuple[str, str]

DOCUMENT: dict[str, Any] = yaml.safe_load((PROJECT / "docs/openapi.yaml").read_text())
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def operations(paths: dict[str, dict[str, Any]]) -> dict[Route, dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in paths.items()
        for method, operation in item.items()
        if method in METHODS
    }


DOCUMENTED = operations(DOCUMENT["paths"])


def routes_of_code() -> dict[Route, str]:
    """Return the routes that the handler registers, and the status that each returns."""
    source = (PROJECT / "functions/orders/handler.py").read_text()
    decorators = re.findall(r'^@app\.(\w+)\("([^"]+)"(?:, status_code=(\d+))?\)$', source, flags=re.MULTILINE)
    return {(method.upper(), re.sub("<(.+?)>", r"{\1}", path)): status or "200" for method, path, status in decorators}


def responses() -> Iterator[tuple[Route, str, dict[str, Any]]]:
    for route, operation in DOCUMENTED.items():
        for status, response in operation["responses"].items():
            reference = response.get("$ref", "")
            yield (
                route,
                status,
                DOCUMENT["components"]["responses"][reference.rpartition("/")[2]] if reference else response,
            )


def test_the_routes_are_those_of_the_template_and_of_the_code() -> None:
    """With the status of a success."""
    documented = {route: min(operation["responses"]) for route, operation in DOCUMENTED.items()}
    assert documented == routes_of_code()
    template = resolved("a")["Resources"]["OrdersApi"]["Properties"]["Body"]["paths"]
    assert documented.keys() == operations(template).keys()
    assert len(documented) == 5


def test_error_codes_are_documented_under_their_status() -> None:
    documented = {
        (code, int(status))
        for _, status, response in responses()
        for code in re.findall("`([a-z_]+)`", response["description"])
        if code in SCHEMAS["ErrorCode"]["enum"]
    }
    raised = {(error.code, error.status) for error in map(ApiError, Problem)}
    assert documented == raised
    assert sorted(SCHEMAS["ErrorCode"]["enum"]) == sorted(code for code, _ in raised)


def test_transient_errors_have_retry_after() -> None:
    documented = {int(status) for _, status, response in responses() if "Retry-After" in response.get("headers", {})}
    assert documented == {problem.status for problem in Problem if problem.retry_after}


@pytest.mark.parametrize("name", [name for name, schema in SCHEMAS.items() if "examples" in schema])
def test_examples_follow_their_schema(name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    for example in SCHEMAS[name]["examples"]:
        assert not list(jsonschema.Draft202012Validator(schema).iter_errors(example))


def test_every_operation_can_be_refused() -> None:
    for operation in DOCUMENTED.values():
        assert {"403", "429", "500", "502", "503", "504"} <= operation["responses"].keys()
