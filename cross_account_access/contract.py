"""The API's contract, docs/openapi.yaml: an example request for each operation, and whether consumers may call it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml

CONTRACT = Path("docs/openapi.yaml")
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")


@dataclass(frozen=True)
class Example:
    """A request that the API accepts."""

    path: str  # below the stage, parameters filled in, not encoded
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # without those of the signature
    body: Any = None  # JSON value; None for no body

    @property
    def target(self) -> str:
        """Path and query, URL-encoded."""
        query = urlencode(self.query, quote_via=quote)
        return quote(self.path) + (f"?{query}" if query else "")

    @property
    def idempotency_key(self) -> str | None:
        """Value of the header `Idempotency-Key`."""
        return next((value for name, value in self.headers.items() if name.lower() == "idempotency-key"), None)


@dataclass(frozen=True)
class Operation:
    """An operation of the contract."""

    example: Example
    granted: bool  # unless the operation has `x-granted: false`
    status: int  # documented status of success
    statuses: frozenset[int]  # all documented ones


def read(folder: Path) -> dict[tuple[str, str], Operation]:
    """Read the operations by method and path, in the order of the document; none if there is no document."""
    if not (folder / CONTRACT).exists():
        return {}
    document = _parse((folder / CONTRACT).read_text())
    return {
        (method.upper(), path): _operation(path, item, item[method], document)
        for path, item in document["paths"].items()
        for method in item
        if method in _METHODS
    }


@lru_cache(maxsize=4)
def _parse(text: str) -> Any:
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a SafeLoader # nosec B506


def without_contract(path: str) -> Example:
    """Make up an example for a route that the contract does not have."""
    return Example(path.replace("{", "").replace("+}", "").replace("}", ""))


def _operation(path: str, item: Mapping[str, Any], operation: Mapping[str, Any], document: Any) -> Operation:
    parameters = list(_parameters(item, operation, document))

    def required(place: str) -> dict[str, str]:
        return {
            parameter["name"]: str(_example(parameter, document, parameter["name"]))
            for parameter in parameters
            if parameter["in"] == place and parameter.get("required")
        }

    filled = path
    for name, value in required("path").items():
        filled = filled.replace(f"{{{name}}}", value).replace(f"{{{name}+}}", value)
    body = _resolve(operation.get("requestBody", {}), document).get("content", {}).get("application/json")
    statuses = {int(status) for status in operation["responses"] if str(status).isdigit()}
    return Operation(
        example=Example(filled, required("query"), required("header"), body and _example(body, document, {})),
        granted=operation.get("x-granted", True),
        status=min((status for status in statuses if 200 <= status < 300), default=200),
        statuses=frozenset(statuses),
    )


def _parameters(item: Mapping[str, Any], operation: Mapping[str, Any], document: Any) -> Iterator[Mapping[str, Any]]:
    own = [_resolve(parameter, document) for parameter in operation.get("parameters", [])]
    yield from own
    overridden = {(parameter["in"], parameter["name"]) for parameter in own}
    for reference in item.get("parameters", []):
        parameter = _resolve(reference, document)
        if (parameter["in"], parameter["name"]) not in overridden:
            yield parameter


def _example(described: Mapping[str, Any], document: Any, default: Any) -> Any:
    """Return the example of a parameter or media type: its own, or that of its schema."""
    if "example" in described:
        return described["example"]
    if described.get("examples"):
        return _resolve(next(iter(described["examples"].values())), document)["value"]
    schema = _resolve(described.get("schema", {}), document)
    for keyword in ("const", "example", "default"):
        if keyword in schema:
            return schema[keyword]
    return next(iter(schema.get("examples") or schema.get("enum") or [default]))


def _resolve(value: Mapping[str, Any], document: Any) -> Mapping[str, Any]:
    found: Any = value
    while "$ref" in found:
        target = document
        for name in found["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        found = target
    return dict(found)
