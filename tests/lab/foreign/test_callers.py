"""What account B deploys, installs or imports, against APIs that are independent of this project."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from cross_account_api import Client, ForbiddenError
from cross_account_lab import workarounds
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION
from cross_account_lab.lab import STACK_NAMES
from tests.lab.foreign.apis import Api, Foreign
from tests.support.stacks import create, template_of


def call(foreign: Foreign, account: str, outputs: Mapping[str, str], method: str, path: str, **fields: Any) -> Any:
    """Let the stack's function make a call, and return the response, or Lambda's form of the error."""
    session = foreign.lab.session(account)
    payload = json.dumps({"method": method, "path": path, **fields})
    result = session.client("lambda").invoke(FunctionName=outputs["CallerFunctionName"], Payload=payload)
    return json.loads(result["Payload"].read())


def deploy(foreign: Foreign, account: str, stack_name: str, api: Api, **parameters: str) -> dict[str, str]:
    """Deploy the function that account B has, as a stack of its own."""
    lab = foreign.lab
    template = template_of(lab.session(ACCOUNT_B), STACK_NAMES[ACCOUNT_B])
    if account != ACCOUNT_B:  # its Lambda reads no bucket of account B
        code = json.loads(template)["Resources"]["CallerFunction"]["Properties"]["Code"]
        found = lab.session(ACCOUNT_B).client("s3").get_object(Bucket=code["S3Bucket"], Key=code["S3Key"])
        s3, bucket = lab.session(account).client("s3"), f"code-for-{stack_name}"
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_object(Bucket=bucket, Key=code["S3Key"], Body=found["Body"].read())
        template = template.replace(code["S3Bucket"], bucket)
    given = {"ApiUrl": api.url, "ScheduleState": "DISABLED", "CallPath": "/", **parameters}
    outputs = create(lab.session(account), stack_name, template, workarounds.completed(given))
    workarounds.complete_consumer(lab.session(account), outputs)
    return outputs


def test_the_function_reads_from_a_rest_api(foreign: Foreign) -> None:
    access = foreign.access
    role = {name: access[name] for name in ("ExecutorRoleArn", "ExternalId")}
    outputs = deploy(foreign, ACCOUNT_B, "shop-reader", foreign.rest, **role)

    done = call(foreign, ACCOUNT_B, outputs, "GET", "/products/7")
    refused = call(foreign, ACCOUNT_B, outputs, "PUT", "/products/7", body={"name": "tea"}, idempotency_key="foreign")

    assert (done["status"], done["attempts"]) == (200, 1)
    assert done["body"]["caller"] == f"{access['ExecutorRoleId']}:222222222222-{REGION}-shop-reader"
    assert done["request_id"]
    assert "403 AccessDeniedException" in refused["errorMessage"]


def test_without_a_role_the_function_signs_as_itself(foreign: Foreign) -> None:
    # In the API's own account: the emulator returns 404 to direct calls from another one.
    direct = {"ExecutorRoleArn": "", "ExternalId": "", "GrantedMethodArns": foreign.http.arns("GET/items/*")[0]}
    outputs = deploy(foreign, ACCOUNT_A, "direct-caller", foreign.http, **direct)

    done = call(foreign, ACCOUNT_A, outputs, "GET", "/items/7")
    refused = call(foreign, ACCOUNT_A, outputs, "GET", "/items")

    assert done["status"] == 200
    assert not done["body"]["caller"].startswith(foreign.access["ExecutorRoleId"])
    assert "403" in refused["errorMessage"]


@pytest.mark.parametrize("kind", ["rest", "http"])
def test_the_client_calls(foreign: Foreign, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api: Api = getattr(foreign, kind)
    access, user = foreign.access, foreign.user
    keys = {"AWS_ACCESS_KEY_ID": user.access_key, "AWS_SECRET_ACCESS_KEY": str(user.secret_key)}
    for name, value in (foreign.lab.environment | keys | {"AWS_ENDPOINT_URL": foreign.lab.endpoint}).items():
        monkeypatch.setenv(name, value)

    with Client(api.url, role_arn=access["ExecutorRoleArn"], external_id=access["ExternalId"], region=REGION) as client:
        read, _, write, *_ = (route.split()[1] for route in api.routes)
        done = client.get(read)
        with pytest.raises(ForbiddenError) as refused:
            client.post(write, body={}, idempotency_key="foreign")

    assert done.status == 200
    assert done.body["caller"] == f"{access['ExecutorRoleId']}:222222222222-ann", "named after the account by itself"
    assert done.request_id
    assert refused.value.status == 403
