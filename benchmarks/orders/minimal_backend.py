"""The smallest program that returns an order to API Gateway, with Powertools and a DynamoDB client."""

import os
from typing import Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver

app = APIGatewayRestResolver()
dynamodb = boto3.client("dynamodb")


@app.get("/orders/<order_id>")
def get_order(order_id: str) -> dict[str, Any]:
    item = dynamodb.get_item(
        TableName=os.environ["ORDERS_TABLE"],
        Key={"consumer": {"S": "222222222222"}, "order_id": {"S": order_id}},
    )["Item"]
    return {name: next(iter(value.values())) for name, value in item.items()}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return app.resolve(event, context)
