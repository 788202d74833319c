"""A call arrives at the backend unchanged, regardless of its encoding in transit."""

import json

import pytest

from cross_account_lab.lab import Lab

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


@pytest.mark.parametrize("text", HARD)
def test_path_and_query_arrive(own_lab: Lab, text: str) -> None:
    body = own_lab.invoke({"path": f"/echo/{text}", "query": {text: "1", "z": ["2", text, ""]}})["body"]

    assert body["pathParameters"] == {"text": text}
    assert body["multiValueQueryStringParameters"] == {text: ["1"], "z": ["2", text, ""]}


@pytest.mark.parametrize("text", ["", "a/b?c", "#", " "])
def test_a_query_value_arrives(own_lab: Lab, text: str) -> None:
    answer = own_lab.invoke({"path": "/echo", "query": {"q": text}})

    assert answer["body"]["multiValueQueryStringParameters"] == {"q": [text]}


def test_a_body_arrives(own_lab: Lab) -> None:
    body = {"name": "".join(HARD)}
    answer = own_lab.invoke({"method": "POST", "path": "/echo", "body": body, "idempotency_key": "k"})

    assert json.loads(answer["body"]["body"]) == body
