"""What IAM and STS take and return."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.credentials import Credentials

from cross_account_lab.accounts import ACCOUNT_IDS

type Statement = Mapping[str, Any]


def policy(*statements: Statement) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def trust_in(account: str) -> Statement:
    """Return the statement of a trust policy that lets an account's principals assume the role."""
    return {"Effect": "Allow", "Principal": {"AWS": ACCOUNT_IDS[account]}, "Action": "sts:AssumeRole"}


def credentials(response: Mapping[str, Any]) -> Credentials:
    """Return the credentials in a response of AssumeRole."""
    found = response["Credentials"]
    return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
