"""IAM users and roles of the lab, and the credentials to act as them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.credentials import Credentials

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_sts.type_defs import AssumeRoleResponseTypeDef

type Statement = Mapping[str, Any]


def create_user(account: boto3.Session, name: str, *statements: Statement) -> Credentials:
    """Create an IAM user with these policy statements and return an access key of it."""
    iam = account.client("iam")
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=_policy(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def create_role(account: boto3.Session, name: str, *statements: Statement) -> Credentials:
    """Create an IAM role that its own account may assume, with these policy statements, and return a session of it."""
    iam, sts = account.client("iam"), account.client("sts")
    trust = _trust(sts.get_caller_identity()["Account"])
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]
    iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=_policy(*statements))
    return credentials(sts.assume_role(RoleArn=role["Arn"], RoleSessionName=name))


def assume_function_role(account: boto3.Session, role_arn: str, session_name: str, seconds: int) -> Credentials:
    """Assume a role that only Lambda may assume, by extending its trust policy to its own account."""
    iam, sts = account.client("iam"), account.client("sts")
    name = role_arn.rpartition("/")[2]
    policy: Any = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    trust = _trust(sts.get_caller_identity()["Account"])
    if trust not in policy["Statement"]:
        policy["Statement"].append(trust)
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(policy))
    return credentials(sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name, DurationSeconds=seconds))


def credentials(response: AssumeRoleResponseTypeDef) -> Credentials:
    """Return the credentials in a response of AssumeRole."""
    found = response["Credentials"]
    return Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


def _trust(account_id: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": account_id}, "Action": "sts:AssumeRole"}


def _policy(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
