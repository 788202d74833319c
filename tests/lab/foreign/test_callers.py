"""What account B deploys, installs or imports, against APIs that are independent of this project."""

import json
from typing import Any

import pytest

from cross_account_api import Client, ForbiddenError
from cross_account_lab import workarounds
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS, REGION
from cross_account_lab.sam import stack_outputs
from tests.lab.foreign.apis import Api, Foreign


class Caller:
    """A stack of template-account-b.yaml."""

    def __init__(self, foreign: Foreign, account: str, stack_name: str, api: Api, **parameters: str) -> None:
        given = workarounds.completed({"ApiUrl": api.url, "ScheduleState": "DISABLED", "CallPath": "/", **parameters})
        foreign.lab.sam.deploy(ACCOUNT_B, given, "--profile", account, "--stack-name", stack_name)
        self._outputs = stack_outputs(foreign.lab.session(account), stack_name)
        session = foreign.lab.session(account)
        workarounds.complete_consumer(session, self._outputs)
        self._lambda = session.client("lambda")

    def call(self, method: str, path: str, **fields: Any) -> Any:
        """Make a call and return the response, or Lambda's form of the error."""
        call = {"method": method, "path": path, **fields}
        result = self._lambda.invoke(FunctionName=self._outputs["CallerFunctionName"], Payload=json.dumps(call))
        return json.loads(result["Payload"].read())


def role_of(foreign: Foreign, account: str) -> dict[str, str]:
    return {name: foreign.access[account][name] for name in ("ExecutorRoleArn", "ExternalId")}


def session_of(foreign: Foreign, account: str, stack_name: str) -> str:
    """The caller that an API sees."""
    return f"{foreign.access[account]['ExecutorRoleId']}:{ACCOUNT_IDS[account]}-{REGION}-{stack_name}"


def test_the_function_reads_from_a_rest_api(foreign: Foreign) -> None:
    caller = Caller(foreign, ACCOUNT_B, "shop-caller", foreign.rest, **role_of(foreign, ACCOUNT_B))

    done = caller.call("GET", "/products/7")
    refused = caller.call("PUT", "/products/7", body={"name": "tea"}, idempotency_key="foreign")

    assert (done["status"], done["attempts"]) == (200, 1)
    assert done["body"]["caller"] == session_of(foreign, ACCOUNT_B, "shop-caller")
    assert done["request_id"]
    assert "403 AccessDeniedException" in refused["errorMessage"]


def test_the_function_writes_to_an_http_api_that_ignores_keys(foreign: Foreign) -> None:
    caller = Caller(
        foreign,
        ACCOUNT_C,
        "stock-caller",
        foreign.http,
        ApiIgnoresIdempotencyKeys="true",
        **role_of(foreign, ACCOUNT_C),
    )

    done = caller.call("POST", "/items", body={"name": "tea"})
    refused = caller.call("GET", "/items")

    assert (done["status"], done["attempts"]) == (200, 1)
    assert done["body"]["caller"] == session_of(foreign, ACCOUNT_C, "stock-caller")
    assert done["request_id"], "an HTTP API calls it apigw-requestid"
    assert "403" in refused["errorMessage"]


def test_without_a_role_the_function_signs_as_itself(foreign: Foreign) -> None:
    # In the API's own account: the emulator returns 404 to direct calls from another one.
    direct = {"ExecutorRoleArn": "", "ExternalId": "", "GrantedMethodArns": foreign.http.arns("GET/items/*")[0]}
    caller = Caller(foreign, ACCOUNT_A, "direct-caller", foreign.http, **direct)

    done = caller.call("GET", "/items/7")
    refused = caller.call("GET", "/items")

    assert done["status"] == 200
    assert not done["body"]["caller"].startswith(foreign.access[ACCOUNT_B]["ExecutorRoleId"])
    assert "403" in refused["errorMessage"]


@pytest.mark.parametrize("kind", ["rest", "http"])
def test_the_client_calls(foreign: Foreign, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api: Api = getattr(foreign, kind)
    access, user = foreign.access[ACCOUNT_B], foreign.users[ACCOUNT_B]
    keys = {"AWS_ACCESS_KEY_ID": user.access_key, "AWS_SECRET_ACCESS_KEY": str(user.secret_key)}
    for name, value in (foreign.lab.environment | keys | {"AWS_ENDPOINT_URL": foreign.lab.endpoint}).items():
        monkeypatch.setenv(name, value)

    with Client(api.url, role_arn=access["ExecutorRoleArn"], external_id=access["ExternalId"], region=REGION) as client:
        read, _, create, *_ = (route.split()[1] for route in api.routes)
        done = client.get(read)
        with pytest.raises(ForbiddenError) as refused:
            client.post(create, body={}, idempotency_key="foreign")

    assert done.status == 200
    assert done.body["caller"] == f"{access['ExecutorRoleId']}:222222222222-ann", "named after the account by itself"
    assert done.request_id
    assert refused.value.status == 403
