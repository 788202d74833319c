"""The smallest program that assumes a role and makes one signed call, with the caller's libraries."""

import os
from typing import Any

import boto3
import requests
from requests_aws4auth import AWS4Auth


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    credentials = boto3.client("sts").assume_role(
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
    return {"status": response.status_code, "body": response.json()}
