"""The functions of both templates: which one serves the API's routes, and which one reads the queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cross_account_access.model import Route, load
from cross_account_access.templates import Side, source
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B

_SIDES: dict[str, Side] = {ACCOUNT_A: "a", ACCOUNT_B: "b"}


@dataclass(frozen=True)
class Function:
    """A function in the template of an account: its logical id and properties, intrinsic functions unresolved."""

    name: str
    account: str
    properties: Mapping[str, Any]

    @property
    def routes(self) -> list[Route]:
        """The routes of the API that the function serves."""
        return [route for route in load().routes if route.function == self.name]

    @property
    def reads_queue(self) -> bool:
        """Whether a queue invokes it."""
        return any(event["Type"] == "SQS" for event in self.properties.get("Events", {}).values())


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
    functions = read_functions()
    if isinstance(event, dict) and "httpMethod" in event:
        routes = [route for route in load().routes if route.function]
        requested = [(method, event.get("resource")) for method in (event["httpMethod"], "ANY")]
        route = next((route for route in routes if (route.method, route.path) in requested), routes[0])
        return functions[route.function]
    return next(function for function in functions.values() if function.reads_queue)


def example_path() -> str:
    """Return the path of a granted GET request that needs no query and no header."""
    granted = [route.example for route in load().routes if route.granted and route.method == "GET"]
    return next((example.path for example in granted if not example.query and not example.headers), "/")
