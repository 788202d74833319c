"""A call arrives at the backend unchanged, regardless of its encoding in transit."""

from __future__ import annotations

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
def test_a_path_segment_arrives(own_lab: Lab, text: str) -> None:
    answer = own_lab.invoke({"path": f"/echo/{text}"})

    assert answer["body"]["pathParameters"] == {"text": text}


@pytest.mark.parametrize("text", [*HARD, "", "a/b?c", "#", " "])
def test_a_query_value_arrives(own_lab: Lab, text: str) -> None:
    answer = own_lab.invoke({"path": "/echo", "query": {"q": text}})

    assert answer["body"]["multiValueQueryStringParameters"] == {"q": [text]}


@pytest.mark.parametrize("text", HARD)
def test_a_query_name_arrives(own_lab: Lab, text: str) -> None:
    answer = own_lab.invoke({"path": "/echo", "query": {text: "1", "z": ["2", "1", ""]}})

    assert answer["body"]["multiValueQueryStringParameters"] == {text: ["1"], "z": ["2", "1", ""]}


@pytest.mark.parametrize("text", HARD)
def test_a_body_arrives(own_lab: Lab, text: str) -> None:
    answer = own_lab.invoke({"method": "POST", "path": "/echo", "body": {"name": text}, "idempotency_key": "k"})

    assert json.loads(answer["body"]["body"]) == {"name": text}
