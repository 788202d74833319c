"""The products of a consumer's shops: plain Python, one table."""

import json
import logging
import os
from typing import Any

import boto3

from cross_account_backend import UnknownCallerError, error_body, identify

ROLE_IDS = os.environ["EXECUTOR_ROLE_IDS"].split(",")
logging.getLogger().setLevel(os.environ["LOG_LEVEL"])
TABLE = boto3.client("dynamodb", region_name=os.environ["AWS_REGION"])


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Respond to a request that API Gateway has authorized."""
    try:
        consumer = identify(event, ROLE_IDS)
        status, body = respond(event, consumer.account_id)
    except UnknownCallerError as error:
        status, body = 403, error_body(event, "forbidden", str(error))
    logging.info("%s %s %s", event["httpMethod"], event["resource"], status)
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": json.dumps(body)}


def respond(event: dict[str, Any], account_id: str) -> tuple[int, dict[str, Any]]:
    """Return status and body. A consumer's products have its account in their key."""
    name, given = os.environ["PRODUCTS_TABLE"], event["pathParameters"] or {}
    shop = {"S": f"{account_id}/{given.get('shop_id')}"}
    key = {"shop": shop, "product_id": {"S": given.get("product_id", "")}}
    match event["httpMethod"], event["resource"]:
        case "GET", "/shops/{shop_id}/products":
            found = TABLE.query(
                TableName=name, KeyConditionExpression="shop = :shop", ExpressionAttributeValues={":shop": shop}
            )
            return 200, {"products": [json.loads(item["product"]["S"]) for item in found["Items"]]}
        case "PUT", "/shops/{shop_id}/products/{product_id}":
            TABLE.put_item(TableName=name, Item={**key, "product": {"S": json.dumps(json.loads(event["body"]))}})
            return 200, json.loads(event["body"])
        case "GET", "/shops/{shop_id}/products/{product_id}":
            item = TABLE.get_item(TableName=name, Key=key).get("Item")
            return (
                (200, json.loads(item["product"]["S"])) if item else (404, error_body(event, "no_product", "unknown"))
            )
        case _:
            return 202, {}
