"""Parts of a REST API's request that the client must not control, and the format of an error."""

import re
from collections.abc import Mapping
from typing import Any

_CORRELATION_ID = re.compile(r"[ -~]{1,128}")
_PARAMETER = re.compile(r"\{([^}+]+)\+?\}")


def request_path(event: Mapping[str, Any]) -> str:
    """Return the resource that API Gateway matched and authorized, with its path parameters filled in, to route by.

    `path` is what the client sent: behind a custom domain it begins with the base path, and may then look like a
    different route than the authorized one.
    """
    resource: str = event["resource"]
    parameters = event["pathParameters"] or {}
    return _PARAMETER.sub(lambda name: parameters[name[1]], resource)


def correlation_id(event: Mapping[str, Any]) -> str:
    """Return the header `X-Correlation-Id` if it is 1 to 128 printable ASCII characters, else the request id."""
    for name, value in (event["headers"] or {}).items():
        if name.lower() == "x-correlation-id" and _CORRELATION_ID.fullmatch(value):
            return str(value)
    return str(event["requestContext"]["requestId"])


def error_body(event: Mapping[str, Any], code: str, message: str) -> dict[str, Any]:
    """Return the body of an error, in the format that the client reads.

    The code is for programs, such as `order_not_found`; the message is for people: what is wrong and what is allowed,
    nothing internal.
    """
    return {"error": {"code": code, "message": message, "request_id": event["requestContext"]["requestId"]}}
