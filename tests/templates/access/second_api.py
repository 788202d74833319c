"""Another API in the same templates: other names and routes, a parameter in the middle, PUT, a second function."""

import json
from pathlib import Path
from typing import Any

from cross_account_access.contract import CONTRACT
from cross_account_access.model import load
from cross_account_access.templates import source

ROUTES = ("GET /teas", "PUT /teas/{tea_id}/steeps/{number}", "GET /teas/{tea_id}", "POST /teas", "DELETE /teas")
GRANTED = (*ROUTES[:3],)
_ARN = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${TeaApi}/${StageName}"


def write(folder: Path) -> Path:
    """Write the templates and the contract to a folder."""
    own = load()
    text = json.dumps(source("a")).replace(own.api, "TeaApi").replace(own.routes[0].function, "TeaFunction")
    template = json.loads(text)
    resources: dict[str, Any] = template["Resources"]
    for other in {route.function for route in own.routes} - {own.routes[0].function}:
        del resources[other]
    resources["TeaFunction"]["Properties"]["Events"] = _events(ROUTES[:4])
    brewing = resources["BrewFunction"] = json.loads(json.dumps(resources["TeaFunction"]))
    brewing["Properties"]["Events"] = _events(ROUTES[4:])
    (statement,) = resources["ExecutorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    statement["Resource"] = [
        {"Fn::Sub": f"{_ARN}/GET/teas"},
        {"Fn::Sub": f"{_ARN}/PUT/teas/*/steeps/*"},
        {"Fn::Sub": f"{_ARN}/GET/teas/*"},
    ]
    folder.joinpath("template-account-a.yaml").write_text(json.dumps(template))
    folder.joinpath("template-account-b.yaml").write_text(json.dumps(source("b")))
    (folder / CONTRACT).parent.mkdir()
    (folder / CONTRACT).write_text(json.dumps(contract()))
    return folder


def contract() -> dict[str, Any]:
    """Return the contract, with its examples in every place that OpenAPI has for them."""
    tea = {"name": "tea_id", "in": "path", "required": True, "example": "lapsang souchong"}
    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "default": 2}}
    leaf = {"name": "leaf", "in": "query", "required": True, "schema": {"enum": ["black", "green"]}}
    page = {"name": "page", "in": "query", "example": "7"}
    key = {"name": "idempotency-key", "in": "header", "required": True, "schema": {"examples": ["brew-1"]}}
    brew = {"content": {"application/json": {"examples": {"one": {"value": {"leaf": "green"}}}}}}
    steep = {"content": {"application/json": {"example": {"seconds": 90}}}}
    created: dict[str, Any] = {"201": {}, "409": {}, "default": {}}
    done: dict[str, Any] = {"204": {}, "404": {}}
    return {
        "openapi": "3.1.0",
        "components": {"parameters": {"Tea": tea}, "requestBodies": {"Brew": brew}},
        "paths": {
            "/teas": {
                "get": {"parameters": [leaf, page], "responses": {"200": {}}},
                "post": {
                    "x-granted": False,
                    "parameters": [key],
                    "requestBody": {"$ref": "#/components/requestBodies/Brew"},
                    "responses": created,
                },
                "delete": {"x-granted": False, "responses": done},
            },
            "/teas/{tea_id}": {
                "parameters": [{"$ref": "#/components/parameters/Tea"}],
                "get": {"parameters": [tea | {"example": "assam"}], "responses": {"200": {}}},
            },
            "/teas/{tea_id}/steeps/{number}": {
                "parameters": [{"$ref": "#/components/parameters/Tea"}, number],
                "put": {"requestBody": steep, "responses": done},
            },
        },
    }


def _events(routes: tuple[str, ...]) -> dict[str, Any]:
    return {
        f"Event{number}": {
            "Type": "Api",
            "Properties": {"RestApiId": {"Ref": "TeaApi"}, "Method": route.split()[0], "Path": route.split()[1]},
        }
        for number, route in enumerate(routes)
    }
