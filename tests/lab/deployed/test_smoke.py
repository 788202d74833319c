"""After a deployment: both stacks work together, and refuse what they must.

    ACCOUNT_B_PROFILE=account-b python -m pytest tests/lab/deployed

The profile must be a role session of account B that may describe the stack, invoke CallerFunction and assume the
executor role. Nothing is changed in either account.
"""

import json
import re
from typing import Any

import boto3
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_access.model import Route, load
from cross_account_api.endpoint import find_api_region, parse_api_url

ROUTES = load().routes
GRANTED = [route for route in ROUTES if route.promised and route.method == "GET"]


@pytest.fixture(scope="module")
def granted() -> Route:
    """A GET route that consumers may call with nothing but a path."""
    for route in GRANTED:
        if not route.example.query and not route.example.headers:
            return route
    pytest.skip("the contract grants no GET that needs nothing but a path")


@pytest.fixture(scope="module")
def account_id(session: boto3.Session) -> str:
    return session.client("sts").get_caller_identity()["Account"]


def assume_executor(session: boto3.Session, stack: dict[str, str], account_id: str, external_id: str) -> Credentials:
    if not stack["ExecutorRoleArn"]:
        pytest.skip("the stack calls without a role")
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


def account_in(body: Any, account_id: str) -> Any:
    """Return who calls, if the backend says so, as the example's does."""
    return body.get("account_id", account_id) if isinstance(body, dict) else account_id


def test_a_signed_call_succeeds(
    session: boto3.Session, stack: dict[str, str], account_id: str, executor: Credentials, granted: Route
) -> None:
    answer = request(session, stack, "GET", granted.example.target, executor)
    assert answer.status_code in {granted.status, 404}, answer.text
    assert account_in(answer.json(), account_id) == account_id


def test_the_function_calls_as_its_own_account(
    session: boto3.Session, stack: dict[str, str], account_id: str, granted: Route
) -> None:
    answer = invoke(session, stack, granted.example.path)
    assert answer.get("status") == granted.status or " 404 " in answer["errorMessage"], answer
    assert account_in(answer.get("body"), account_id) == account_id


def test_an_encoded_path_arrives_intact(session: boto3.Session, stack: dict[str, str]) -> None:
    # API Gateway decodes a path and encodes it again to verify the signature; the caller's encoding must be the same.
    path = next((route.path for route in GRANTED if "{" in route.path), "")
    if not path:
        pytest.skip("the contract grants no GET with a parameter in its path")
    answer = invoke(session, stack, re.sub(r"\{.+?\}", "a b%\N{LATIN SMALL LETTER U WITH DIAERESIS}", path))
    # The backend may or may not have it; a wrong encoding would get 403 from API Gateway.
    assert answer.get("status", 0) in range(200, 300) or " 404 " in answer["errorMessage"], answer


def test_an_unsigned_call_is_refused(session: boto3.Session, stack: dict[str, str], granted: Route) -> None:
    answer = request(session, stack, "GET", granted.example.path, None)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")


def test_a_route_that_is_not_granted_is_refused(
    session: boto3.Session, stack: dict[str, str], executor: Credentials
) -> None:
    route = next((route for route in ROUTES if route.promised is False), None)
    if not route:
        pytest.skip("the contract grants every route")
    answer = request(session, stack, route.method, route.example.target, executor)
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
