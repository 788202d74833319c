"""A backend that returns the request and remembers each POST by its idempotency key."""

import json
import os
import re
from typing import Any

import boto3

from cross_account_backend import UnknownCallerError, correlation_id, error_body, identify

table = boto3.resource("dynamodb").Table(os.environ["ECHO_TABLE"])


def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
    context = event["requestContext"]
    try:
        consumer = identify(event, os.environ["EXECUTOR_ROLE_IDS"].split(","))
    except UnknownCallerError as error:
        return {"statusCode": 403, "body": json.dumps(error_body(event, "forbidden", str(error)))}
    query, body = event["multiValueQueryStringParameters"] or {}, json.loads(event["body"] or "{}")
    text = (event["pathParameters"] or {}).get("text", "")
    status = next((int(asked) for asked in (*query.get("status", []), text) if re.fullmatch("[0-9]{3}", asked)), 200)
    result = {
        "account_id": consumer.account_id,
        "session_name": consumer.session_name,
        "request_id": context["requestId"],
        **{name: event[name] for name in ("path", "pathParameters", "multiValueQueryStringParameters", "body")},
    }
    if event["httpMethod"] == "POST":
        status = body.get("status", 201)
        if status < 400:
            key = next(value for name, value in event["headers"].items() if name.lower() == "idempotency-key")
            table.put_item(Item={"account_id": consumer.account_id, "key": key, "name": body.get("name", "")})
    elif event["resource"] == "/done":
        items = table.scan(ConsistentRead=True)["Items"]
        result = {"names": [item["name"] for item in items if item["account_id"] == consumer.account_id]}
    if status >= 400:
        result = error_body(event, "as_asked", f"status {status}")
    seen = {"correlation_id": correlation_id(event), "consumer_account": consumer.account_id, "status": status}
    route = f"{event['httpMethod']} {event['resource']}"
    print(json.dumps({"request_id": context["requestId"], "route": route, **seen}))  # noqa: T201 - Lambda logs it
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(result)}
