"""What the caller is given is what arrives at the backend, however it must be encoded on the way."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.accounts import ACCOUNT_A
from lab.lab import Lab

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
    """The lab with a backend that answers with what arrived."""
    functions = own_lab.session(ACCOUNT_A).client("lambda")
    [backend] = functions.list_functions()["Functions"]
    name, handler = backend["FunctionName"], backend["Handler"]
    built = own_lab.sam.folder / ".aws-sam/account-a/build/OrdersFunction"
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
    answer = echo.invoke({"path": f"/orders/{text}"})

    assert answer["body"]["pathParameters"] == {"order_id": text}


@pytest.mark.parametrize("text", [*HARD, "", "a/b?c", "#", " "])
def test_a_query_value_arrives(echo: Lab, text: str) -> None:
    answer = echo.invoke({"path": "/orders", "query": {"q": text}})

    assert answer["body"]["multiValueQueryStringParameters"] == {"q": [text]}


@pytest.mark.parametrize("text", HARD)
def test_a_query_name_arrives(echo: Lab, text: str) -> None:
    answer = echo.invoke({"path": "/orders", "query": {text: "1", "z": ["2", "1", ""]}})

    assert answer["body"]["multiValueQueryStringParameters"] == {text: ["1"], "z": ["2", "1", ""]}


@pytest.mark.parametrize("text", HARD)
def test_a_body_arrives(echo: Lab, text: str) -> None:
    answer = echo.invoke({"method": "POST", "path": "/orders", "body": {"sku": text}, "idempotency_key": "k"})

    assert json.loads(answer["body"]["body"]) == {"sku": text}
