"""After a deployment: both stacks work together, and refuse what they must.

    ACCOUNT_B_PROFILE=account-b python -m pytest tests/lab/deployed

The profile must be a role session of account B that may describe the stack, invoke CallerFunction and assume the
executor role. Nothing is changed in either account.
"""

import json
import os
import tomllib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_access.templates import PROJECT
from cross_account_api.endpoint import find_api_region, parse_api_url

PROFILE = os.environ.get("ACCOUNT_B_PROFILE")
# The user's AWS settings, saved before they are hidden from all other tests.
SETTINGS = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.fixture(scope="module")
def session() -> Iterator[boto3.Session]:
    """A session of account B."""
    if not PROFILE:
        pytest.skip("ACCOUNT_B_PROFILE names no AWS profile of account B")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.delenv(name)
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield boto3.Session(profile_name=PROFILE)


@pytest.fixture(scope="module")
def stack(session: boto3.Session) -> dict[str, str]:
    """Parameters and outputs of account B's stack, as deployed."""
    config: dict[str, Any] = tomllib.loads((PROJECT / "samconfig.toml").read_text())
    name = config["account-b"]["deploy"]["parameters"]["stack_name"]
    [found] = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    parameters = {item["ParameterKey"]: item["ParameterValue"] for item in found["Parameters"]}
    return parameters | {item["OutputKey"]: item["OutputValue"] for item in found["Outputs"]}


@pytest.fixture(scope="module")
def account_id(session: boto3.Session) -> str:
    return session.client("sts").get_caller_identity()["Account"]


def assume_executor(session: boto3.Session, stack: dict[str, str], account_id: str, external_id: str) -> Credentials:
    given = session.client("sts").assume_role(
        RoleArn=stack["ExecutorRoleArn"], RoleSessionName=f"{account_id}-smoke-test", ExternalId=external_id
    )["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


@pytest.fixture(scope="module")
def executor(session: boto3.Session, stack: dict[str, str], account_id: str) -> Credentials:
    return assume_executor(session, stack, account_id, stack["ExternalId"])


def request(
    session: boto3.Session, stack: dict[str, str], method: str, path: str, who: Credentials | None
) -> requests.Response:
    """Send a request, signed by botocore, which shares no code with the caller's signer, or unsigned."""
    url = parse_api_url(stack["ApiUrl"])
    signed = AWSRequest(method, url + path)
    if who:
        region = find_api_region(url, stack["ApiRegion"], session.region_name)
        SigV4Auth(who, "execute-api", region).add_auth(signed)
    return requests.request(method, url + path, headers=dict(signed.headers), timeout=35, allow_redirects=False)


def invoke(session: boto3.Session, stack: dict[str, str], path: str) -> dict[str, Any]:
    """Let CallerFunction get a path."""
    invoked = session.client("lambda").invoke(
        FunctionName=stack["CallerFunctionName"], Payload=json.dumps({"path": path})
    )
    result: dict[str, Any] = json.loads(invoked["Payload"].read())
    return result


def test_a_signed_call_succeeds(
    session: boto3.Session, stack: dict[str, str], account_id: str, executor: Credentials
) -> None:
    answer = request(session, stack, "GET", "/whoami", executor)
    assert (answer.status_code, answer.json()["account_id"]) == (200, account_id), answer.text


def test_the_function_calls_as_its_own_account(session: boto3.Session, stack: dict[str, str], account_id: str) -> None:
    answer = invoke(session, stack, "/whoami")
    assert (answer["status"], answer["body"]["account_id"]) == (200, account_id)


def test_an_encoded_path_arrives_intact(session: boto3.Session, stack: dict[str, str]) -> None:
    # API Gateway decodes a path and encodes it again to verify the signature; the caller's encoding must be the same.
    answer = invoke(session, stack, "/orders/a b%\N{LATIN SMALL LETTER U WITH DIAERESIS}")
    # The backend has no such order; a wrong encoding would get 403 from API Gateway.
    assert " 404 " in answer["errorMessage"], answer


def test_an_unsigned_call_is_refused(session: boto3.Session, stack: dict[str, str]) -> None:
    answer = request(session, stack, "GET", "/whoami", None)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")


def test_a_route_that_is_not_granted_is_refused(
    session: boto3.Session, stack: dict[str, str], executor: Credentials
) -> None:
    answer = request(session, stack, "DELETE", "/orders/1", executor)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")


def test_another_external_id_is_refused(
    session: boto3.Session, stack: dict[str, str], account_id: str, executor: Credentials
) -> None:
    assert executor.token, "the right external id must be accepted, or a refusal proves nothing"
    with pytest.raises(ClientError, match="AccessDenied"):
        assume_executor(session, stack, account_id, f"not-{stack['ExternalId']}")


def test_a_session_name_of_another_account_is_refused(
    session: boto3.Session, stack: dict[str, str], account_id: str, executor: Credentials
) -> None:
    # The policy variable ${aws:PrincipalAccount} in the trust policy keeps consumers apart. Only AWS can show that.
    assert executor.token, "the own account's name must be accepted, or a refusal proves nothing"
    another = f"{(int(account_id) + 1) % 10**12:012d}"
    with pytest.raises(ClientError, match="AccessDenied"):
        assume_executor(session, stack, another, stack["ExternalId"])
