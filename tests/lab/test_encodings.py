"""A call arrives at the backend unchanged, regardless of its encoding in transit."""

import json

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


def test_path_query_and_body_arrive(own_lab: Lab) -> None:
    for text in HARD:
        body = own_lab.invoke({"path": f"/echo/{text}", "query": {text: "1", "z": ["2", text, ""]}})["body"]
        assert body["pathParameters"] == {"text": text}
        assert body["multiValueQueryStringParameters"] == {text: ["1"], "z": ["2", text, ""]}

    sent = {"name": "".join(HARD)}
    answer = own_lab.invoke({"method": "POST", "path": "/echo", "body": sent, "idempotency_key": "k"})
    assert json.loads(answer["body"]["body"]) == sent
