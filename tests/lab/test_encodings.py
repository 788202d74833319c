"""A call arrives at the backend unchanged, regardless of its encoding in transit."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.accounts import ACCOUNT_A
from lab.functions import read_functions
from lab.lab import Lab

BACKEND = next(function for function in read_functions().values() if function.routes)
ROUTES = [route.split() for route in BACKEND.routes]
COLLECTION = next(path for method, path in ROUTES if method == "POST")
ITEM, PARAMETER = next((path[: path.index("{")], path[path.index("{") + 1 : -1]) for _, path in ROUTES if "{" in path)

ECHO = """
import json

def handler(event, context):
    echo = {name: event[name] for name in ("path", "pathParameters", "multiValueQueryStringParameters", "body")}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(echo)}
"""
HARD = [
    "a b",
    "é€ß日本🎉",
    "100%",
    "%2F",
    "%20",
    "a;b",
    "a+b",
    'say "tea"',
    "it's",
    "a=b&c",
    "a:b@c",
    "~.-_*!()$,",
    "{curly}[square]|^`",
]


@pytest.fixture(scope="module")
def echo(own_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab with a backend that returns the request."""
    functions = own_lab.session(ACCOUNT_A).client("lambda")
    [backend] = functions.list_functions()["Functions"]
    name, handler = backend["FunctionName"], backend["Handler"]
    built = own_lab.sam.build_folder(ACCOUNT_A) / BACKEND.name
    original = Path(shutil.make_archive(str(tmp_path_factory.mktemp("original") / "code"), "zip", built)).read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("echo.py", ECHO)
    functions.update_function_code(FunctionName=name, ZipFile=archive.getvalue())
    functions.update_function_configuration(FunctionName=name, Handler="echo.handler")
    yield own_lab
    functions.update_function_code(FunctionName=name, ZipFile=original)
    functions.update_function_configuration(FunctionName=name, Handler=handler)
    assert own_lab.invoke({"path": "/whoami"})["body"]["account_id"] == "222222222222"


@pytest.mark.parametrize("text", HARD)
def test_a_path_segment_arrives(echo: Lab, text: str) -> None:
    answer = echo.invoke({"path": f"{ITEM}{text}"})

    assert answer["body"]["pathParameters"] == {PARAMETER: text}


@pytest.mark.parametrize("text", [*HARD, "", "a/b?c", "#", " "])
def test_a_query_value_arrives(echo: Lab, text: str) -> None:
    answer = echo.invoke({"path": COLLECTION, "query": {"q": text}})

    assert answer["body"]["multiValueQueryStringParameters"] == {"q": [text]}


@pytest.mark.parametrize("text", HARD)
def test_a_query_name_arrives(echo: Lab, text: str) -> None:
    answer = echo.invoke({"path": COLLECTION, "query": {text: "1", "z": ["2", "1", ""]}})

    assert answer["body"]["multiValueQueryStringParameters"] == {text: ["1"], "z": ["2", "1", ""]}


@pytest.mark.parametrize("text", HARD)
def test_a_body_arrives(echo: Lab, text: str) -> None:
    answer = echo.invoke({"method": "POST", "path": COLLECTION, "body": {"sku": text}, "idempotency_key": "k"})

    assert json.loads(answer["body"]["body"]) == {"sku": text}
