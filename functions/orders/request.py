"""Parses and checks a request before anything is done."""

import json
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from orders.errors import ApiError, Problem
from orders.model import OrderRequest, Status

_IDEMPOTENCY_KEY = re.compile(r"[ -~]{1,255}")
_SKU = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LIMIT = re.compile(r"[1-9][0-9]?|100")
_invalid_body = partial(ApiError, Problem.INVALID_BODY)
_invalid_query = partial(ApiError, Problem.INVALID_QUERY)


def parse_order_request(event: APIGatewayProxyEvent, account_id: str) -> OrderRequest:
    """Read what to order from a POST; the error names the field or header, its value and what is allowed."""
    idempotency_keys = event.multi_value_headers.get("Idempotency-Key") or []
    if len(idempotency_keys) != 1 or not _IDEMPOTENCY_KEY.fullmatch(idempotency_keys[0]):
        raise ApiError(Problem.INVALID_IDEMPOTENCY_KEY)

    fields = _fields(event)
    for name in fields:
        if name not in {"sku", "quantity"}:
            raise _invalid_body(f"field {_quote(name)} is unknown; allowed are sku and quantity")
    if "sku" not in fields:
        raise _invalid_body("field sku is missing")
    sku, quantity = fields["sku"], fields.get("quantity", 1)
    if not isinstance(sku, str) or not _SKU.fullmatch(sku):
        raise _invalid_body(f"field sku must be 1 to 64 letters, digits, dots, _ or -, not {_quote(sku)}")
    # To JSON, 2.0 is a whole number as well (JSON Schema, `integer`).
    if isinstance(quantity, float) and quantity.is_integer():
        quantity = int(quantity)
    # A bool is an int to isinstance.
    if type(quantity) is not int or not 1 <= quantity <= 1000:
        raise _invalid_body(f"field quantity must be a whole number from 1 to 1000, not {_quote(quantity)}")
    return OrderRequest(account_id=account_id, idempotency_key=idempotency_keys[0], sku=sku, quantity=quantity)


def parse_list_query(event: APIGatewayProxyEvent) -> tuple[int, Status | None, str | None]:
    """Read limit, status and cursor from the query of a GET; the error names the parameter."""
    parameters: dict[str, str] = {}
    for name, values in event.multi_value_query_string_parameters.items():
        if name not in {"status", "limit", "cursor"}:
            raise _invalid_query(f"query parameter {_quote(name)} is unknown; allowed are status, limit and cursor")
        if len(values) > 1:
            raise _invalid_query(f"query parameter {name} must be given once, not {len(values)} times")
        parameters[name] = values[0]

    limit = parameters.get("limit", "20")
    if not _LIMIT.fullmatch(limit):
        raise _invalid_query(f"query parameter limit must be a whole number from 1 to 100, not {_quote(limit)}")
    status = parameters.get("status")
    if status is not None and status not in list(Status):
        raise _invalid_query(f"query parameter status must be {' or '.join(Status)}, not {_quote(status)}")
    return int(limit), None if status is None else Status(status), parameters.get("cursor")


def _fields(event: APIGatewayProxyEvent) -> dict[str, Any]:
    try:
        body = json.loads(event.decoded_body or "", object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _invalid_body() from None
    if not isinstance(body, dict):
        raise _invalid_body()
    return body


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise _invalid_body(f"field {_quote(name)} is given more than once")
        fields[name] = value
    return fields


def _quote(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
