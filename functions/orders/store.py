"""The orders in DynamoDB."""

import base64
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from orders.errors import ApiError, Problem
from orders.model import Order, Page, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryInputTypeDef

_ORDER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CREATED_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


class OrderStore:
    """The orders of all consumers; every operation is limited to one of them, and lets botocore's exceptions pass.

    The table's key is `consumer`, `order_id`; its indexes are `ByCreation` (`consumer`, `created_at`) and `ByStatus`
    (`consumer_status`, `created_at`), both with all attributes.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def put(self, account_id: str, order: Order) -> Order:
        """Store an order, once, and return it as it is stored: the given one, or the earlier one with the same id.

        The condition makes a repeated write harmless, whether the SDK repeats it, or the consumer after a function died
        before it could record that the order was written.
        """
        try:
            self._client.put_item(
                TableName=self._table,
                Item={
                    "consumer": {"S": account_id},
                    "order_id": {"S": order.order_id},
                    "sku": {"S": order.sku},
                    "quantity": {"N": str(order.quantity)},
                    "status": {"S": order.status},
                    "created_at": {"S": order.created_at},
                    "consumer_status": {"S": _consumer_status(account_id, order.status)},
                },
                ConditionExpression="attribute_not_exists(order_id)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            stored = _order(error.response["Item"])  # type: ignore[typeddict-item]  # as ALL_OLD asks
            if (stored.sku, stored.quantity) != (order.sku, order.quantity):
                raise ApiError(Problem.IDEMPOTENCY_KEY_REUSED) from None
            return stored
        return order

    def get(self, account_id: str, order_id: str) -> Order:
        """Read an order, as the last write left it."""
        response = self._client.get_item(TableName=self._table, Key=_key(account_id, order_id), ConsistentRead=True)
        if "Item" not in response:
            raise ApiError(Problem.ORDER_NOT_FOUND)
        return _order(response["Item"])

    def page(self, account_id: str, limit: int, status: Status | None = None, cursor: str | None = None) -> Page:
        """Read some orders, newest first; a new order appears here a moment after it was written.

        The page may be empty even though the page before had a cursor.

        The cursor holds only a position, neither the consumer nor the status, so one that was made for another consumer
        or another query discloses nothing.
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
        """
        if status is None:
            index, attribute, value = "ByCreation", "consumer", account_id
        else:
            index, attribute, value = "ByStatus", "consumer_status", _consumer_status(account_id, status)
        query: QueryInputTypeDef = {
            "TableName": self._table,
            "IndexName": index,
            "KeyConditionExpression": f"{attribute} = :value",
            "ExpressionAttributeValues": {":value": {"S": value}},
            "ScanIndexForward": False,
            "Limit": limit,
        }
        if cursor is not None:
            created_at, order_id = _position(cursor)
            query["ExclusiveStartKey"] = {
                **_key(account_id, order_id),
                attribute: {"S": value},
                "created_at": {"S": created_at},
            }
        response = self._client.query(**query)
        orders = [_order(item) for item in response["Items"]]
        return Page(orders, next_cursor=_cursor(orders[-1]) if "LastEvaluatedKey" in response else None)

    def cancel(self, account_id: str, order_id: str) -> Order:
        """Cancel an order; a cancelled one stays as it is."""
        try:
            response = self._client.update_item(
                TableName=self._table,
                Key=_key(account_id, order_id),
                ConditionExpression="attribute_exists(order_id)",
                UpdateExpression="SET #status = :status, consumer_status = :consumer_status",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":status": {"S": Status.CANCELLED},
                    ":consumer_status": {"S": _consumer_status(account_id, Status.CANCELLED)},
                },
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            raise ApiError(Problem.ORDER_NOT_FOUND) from None
        return _order(response["Attributes"])


def _key(account_id: str, order_id: str) -> "dict[str, AttributeValueTypeDef]":
    if not _ORDER_ID.fullmatch(order_id):
        raise ApiError(Problem.ORDER_NOT_FOUND)
    return {"consumer": {"S": account_id}, "order_id": {"S": order_id}}


def _consumer_status(account_id: str, status: Status) -> str:
    return f"{account_id}#{status}"


def _order(item: "Mapping[str, AttributeValueTypeDef]") -> Order:
    return Order(
        order_id=item["order_id"]["S"],
        sku=item["sku"]["S"],
        quantity=int(item["quantity"]["N"]),
        status=Status(item["status"]["S"]),
        created_at=item["created_at"]["S"],
    )


def _cursor(order: Order) -> str:
    position = json.dumps([order.created_at, order.order_id], separators=(",", ":"))
    return base64.urlsafe_b64encode(position.encode()).decode()


def _position(cursor: str) -> tuple[str, str]:
    with suppress(ValueError, RecursionError):
        match json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True)):
            case [str(date), str(order_id)] if _CREATED_AT.fullmatch(date) and _ORDER_ID.fullmatch(order_id):
                return date, order_id
    raise ApiError(Problem.INVALID_CURSOR)
