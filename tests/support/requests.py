"""Requests as API Gateway sends them to a function."""

import re
from typing import Any

from cross_account_access.model import Route
from cross_account_lab.containers.sam_local import EXAMPLE_ROLE_ID


def api_request(route: Route, account_id: str = "222222222222") -> dict[str, Any]:
    """Return the example request of a route, from a session of the executor role.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    """
    pattern = re.sub(r"\{(\w+)\+?\}", r"(?P<\1>.+)", route.path)
    parameters = re.fullmatch(pattern, route.example.path)
    session = f"{account_id}-caller"
    arn = f"arn:aws:sts::111111111111:assumed-role/executor/{session}"
    headers, query = dict(route.example.headers), dict(route.example.query)
    return {
        "resource": route.path,
        "path": route.example.path,
        "httpMethod": route.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "pathParameters": (parameters.groupdict() if parameters else None) or None,
        "stageVariables": None,
        "requestContext": {
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "httpMethod": route.method,
            "resourcePath": route.path,
            "path": f"/v1{route.example.path}",
            "identity": {"caller": f"{EXAMPLE_ROLE_ID}:{session}", "userArn": arn, "sourceIp": "192.0.2.1"},
        },
        "body": None,
        "isBase64Encoded": False,
    }
