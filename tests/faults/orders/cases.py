"""Faults of the example's backend and its tables, and how the caller handles them."""

from __future__ import annotations

import json

from cross_account_api import errors
from tests.faults.cases import LOST, at_api, long, retried
from tests.faults.orders import backend
from tests.faults.orders.backend import ORDERS, RECORDS, DynamoDBFault
from tests.support.aws.loopback import Exchange, RequestFault


def failing(operation: str, table: str, fault: DynamoDBFault) -> RequestFault:
    """Let the backend's DynamoDB fail during the work."""

    def act(exchange: Exchange) -> None:
        with backend.failing(operation, table, fault):
            response = exchange.respond()
        exchange.send_response(response)

    return RequestFault(act)


@RequestFault
def forget_after_work(exchange: Exchange) -> None:
    backend.forget(json.loads(exchange.respond().body)["order_id"])
    exchange.reset()


CASES = [
    retried(
        "DynamoDB throttles the order",
        at_api(failing("PutItem", ORDERS, backend.throttle)),
        errors.ServerError,
        **long(1),
    ),
    retried(
        "DynamoDB throttles the idempotency record",
        at_api(failing("PutItem", RECORDS, backend.throttle)),
        errors.ServerError,
        **long(1),
    ),
    retried(
        "order written, DynamoDB throttles the record of it",
        at_api(failing("UpdateItem", RECORDS, backend.throttle)),
        errors.ApiError,
        transient=None,
        **long(1),
        **LOST,
    ),
    retried(
        "order written, DynamoDB's response is lost",
        at_api(failing("PutItem", ORDERS, backend.lose_response)),
        errors.ServerError,
        **long(1),
        **LOST,
    ),
    retried("order written, response and idempotency record are lost", at_api(forget_after_work), **LOST),
    retried(
        "backend killed before the order is written",
        at_api(failing("PutItem", ORDERS, backend.kill)),
        errors.ApiError,
        transient=None,
        **long(1),
    ),
    retried(
        "backend killed after the order was written",
        at_api(failing("UpdateItem", RECORDS, backend.kill)),
        errors.ApiError,
        transient=None,
        **long(1),
        **LOST,
    ),
]
