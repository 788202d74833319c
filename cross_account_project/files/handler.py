"""The backend: answers the routes that are `Events` of OrdersFunction in template-account-a.yaml."""

import json
import os
from typing import Any

from cross_account_backend import Consumer, UnknownCallerError, correlation_id, error_body, identify

ROLE_IDS = os.environ["EXECUTOR_ROLE_IDS"].split(",")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer a request of API Gateway, whose signer must be a consumer."""
    print(json.dumps({"request_id": event["requestContext"]["requestId"], "correlation_id": correlation_id(event)}))
    try:
        status, body = respond(event, identify(event, ROLE_IDS))
    except UnknownCallerError as error:
        status, body = 403, error_body(event, "forbidden", str(error))
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}


def respond(event: dict[str, Any], consumer: Consumer) -> tuple[int, dict[str, Any]]:
    """Return status and body for a consumer; `resource` is the route that API Gateway matched and authorized."""
    match event["httpMethod"], event["resource"]:
        case "GET", "/whoami":
            return 200, {"account_id": consumer.account_id, "session_name": consumer.session_name}
        case "GET", "/orders":
            return 200, {"items": []}
        case _:
            return 404, error_body(event, "route_not_found", "no such route")
