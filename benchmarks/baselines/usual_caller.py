"""The usual function: the same call with Logger, Metrics and Tracer, as the Powertools documentation shows."""

import os
from typing import Any

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from requests_aws4auth import AWS4Auth

logger = Logger()
metrics = Metrics()
tracer = Tracer()
sts = boto3.client("sts")


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    credentials = sts.assume_role(
        RoleArn=os.environ["EXECUTOR_ROLE_ARN"],
        RoleSessionName=os.environ["SESSION_NAME"],
        ExternalId=os.environ["EXTERNAL_ID"],
    )["Credentials"]
    auth = AWS4Auth(
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        os.environ["AWS_REGION"],
        "execute-api",
        session_token=credentials["SessionToken"],
    )
    response = requests.get(os.environ["API_URL"] + event["path"], auth=auth, timeout=30)
    metrics.add_metric(name="CallSucceeded", unit=MetricUnit.Count, value=1)
    logger.info("called")
    return {"status": response.status_code, "body": response.json()}
