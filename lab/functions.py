"""The functions of both templates: which one serves the API's routes, and which one reads the queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from access.model import load
from access.templates import Side, source
from lab.accounts import ACCOUNT_A, ACCOUNT_B
from lab.sam import PROJECT

_SIDES: dict[str, Side] = {ACCOUNT_A: "a", ACCOUNT_B: "b"}


@dataclass(frozen=True)
class Function:
    """A function in the template of an account: its logical id and properties, intrinsic functions unresolved."""

    name: str
    account: str
    properties: Mapping[str, Any]

    @property
    def routes(self) -> list[str]:
        """The routes of the API that the function serves, such as `GET /orders/{order_id}`."""
        events = [event["Properties"] for event in self._events("Api")]
        return [f"{event['Method'].upper()} {event['Path']}" for event in events]

    @property
    def reads_queue(self) -> bool:
        """Whether a queue invokes it."""
        return bool(self._events("SQS"))

    def _events(self, kind: str) -> list[Mapping[str, Any]]:
        return [event for event in self.properties.get("Events", {}).values() if event["Type"] == kind]


def read_functions() -> dict[str, Function]:
    """Return the functions of both templates by logical id."""
    return {
        name: Function(name, account, resource["Properties"])
        for account, side in _SIDES.items()
        for name, resource in source(side)["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def function_for(event: Any) -> Function:
    """Return the function for an event: the route's for a request from API Gateway, the caller for anything else."""
    functions = read_functions().values()
    if isinstance(event, dict) and "httpMethod" in event:
        routes = {f"{method} {event.get('resource')}" for method in (event["httpMethod"], "ANY")}
        backends = [function for function in functions if function.routes]
        return next((function for function in backends if routes & {*function.routes}), backends[0])
    return next(function for function in functions if function.reads_queue)


def example_path(project: Path = PROJECT) -> str:
    """Return the path of a granted GET request that needs no query and no header."""
    granted = [route.example for route in load(project).routes if route.granted and route.method == "GET"]
    return next((example.path for example in granted if not example.query and not example.headers), "/")
