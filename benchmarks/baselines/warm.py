"""Other clients for a call with an open session. Each factory returns a function that makes one call."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable

import boto3
import httpx
import requests
import urllib3
from awscurl.awscurl import make_request  # type: ignore[import-untyped]
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from httpx_aws_auth import AwsCredentials, AwsSigV4Auth
from requests_aws4auth import AWS4Auth

from benchmarks.server import ACCESS_KEY, EXECUTOR_ROLE_ARN, SECRET_KEY, SESSION_NAME, TOKEN, Server
from cross_account_lab.judge.sts import EXTERNAL_ID, REGION

type Client = Callable[[], tuple[int, object]]
"""Makes one call and returns status and body."""

TIMEOUT = 30.0


def unsigned(server: Server, path: str) -> Client:
    """An unsigned `requests.Session` with the caller's settings: the minimum."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(server.ca_bundle)

    def call() -> tuple[int, object]:
        response = session.get(server.api_url + path, timeout=(3, TIMEOUT), allow_redirects=False)
        return response.status_code, response.json()

    return call


def guide(server: Server, path: str) -> Client:
    """The copied AWS guide: a new client, AssumeRole and a new connection for each call."""

    def call() -> tuple[int, object]:
        credentials = boto3.client("sts").assume_role(
            RoleArn=EXECUTOR_ROLE_ARN, RoleSessionName=SESSION_NAME, ExternalId=EXTERNAL_ID
        )["Credentials"]
        auth = AWS4Auth(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            REGION,
            "execute-api",
            session_token=credentials["SessionToken"],
        )
        response = requests.get(server.api_url + path, auth=auth, timeout=TIMEOUT)
        return response.status_code, response.json()

    return call


def botocore_urllib3(server: Server, path: str) -> Client:
    """Botocore's signer and urllib3."""
    pool = urllib3.PoolManager(ca_certs=str(server.ca_bundle))
    credentials = Credentials(ACCESS_KEY, SECRET_KEY, TOKEN)

    def call() -> tuple[int, object]:
        request = AWSRequest("GET", server.api_url + path)
        SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
        response = pool.request("GET", server.api_url + path, headers=dict(request.headers), timeout=TIMEOUT)
        return response.status, response.json()

    return call


def awscurl(server: Server, path: str) -> Client:
    """Awscurl as a library."""

    def call() -> tuple[int, object]:
        response = make_request(
            "GET",
            "execute-api",
            REGION,
            server.api_url + path,
            {},
            "",
            ACCESS_KEY,
            SECRET_KEY,
            TOKEN,
            False,
            verify=os.environ["REQUESTS_CA_BUNDLE"],
        )
        return response.status_code, response.json()

    return call


def httpx_aws_auth(server: Server, path: str) -> Client:
    """Httpx with its AWS auth package."""
    auth = AwsSigV4Auth(
        credentials=AwsCredentials(ACCESS_KEY, SECRET_KEY, TOKEN),
        region=REGION,
        service="execute-api",
    )
    client = httpx.Client(auth=auth, verify=ssl.create_default_context(cafile=server.ca_bundle), timeout=TIMEOUT)

    def call() -> tuple[int, object]:
        response = client.get(server.api_url + path)
        return response.status_code, response.json()

    return call
