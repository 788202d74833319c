"""Who may do what, tried with real requests on any API's routes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import botocore.auth
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_access.model import Route
from cross_account_lab.access import Observations, admit_fewer, least_route, observe, routes
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C
from cross_account_lab.lab import Lab

NO_SESSION = "no role AccessDenied"
GRANTED = ""
EXPECTED = {
    "scheduled caller": GRANTED,
    "my-user": GRANTED,
    "C, fewer rights": "403 AccessDeniedException",
    "other user of B": NO_SESSION,
    "user of C": NO_SESSION,
    "admin of A": "403 AccessDeniedException",
    "unsigned": "403 MissingAuthenticationTokenException",
    "tampered": "403 InvalidSignatureException",
    "expired": "403 ExpiredTokenException",
    "wrong ExternalId": NO_SESSION,
    "spoofed session": NO_SESSION,
}
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

CALLABLE = next(route for route in routes() if route.promised and route.method == "GET")
TARGET = CALLABLE.example.target
NOT_GRANTED = [
    *(
        (method, path)
        for path in dict.fromkeys(route.example.path for route in routes())
        for method in METHODS
        if not any(route.promised for route in routes() if (route.method, route.example.path) == (method, path))
    ),
    *(("GET", path) for path in ("/", "/admin", f"{routes()[-1].example.path}/x/y")),
]


@pytest.fixture(scope="module")
def observed(lab: Lab) -> Observations:
    admit_fewer(lab)
    return observe(lab)


def test_the_demo_shows_every_kind_of_caller(observed: Observations) -> None:
    assert [caller.name for caller in observed] == list(EXPECTED)


@pytest.mark.parametrize("route", routes(), ids=str)
@pytest.mark.parametrize("name", EXPECTED)
def test_caller_on_route(observed: Observations, name: str, route: Route) -> None:
    (outcomes,) = (outcomes for caller, outcomes in observed.items() if caller.name == name)
    granted = f"{route.status}" if route.promised else "403 AccessDeniedException"
    may = name == "C, fewer rights" and route == least_route()

    assert str(outcomes[route]) == (granted if may or not EXPECTED[name] else EXPECTED[name])


# --- Who gets a session ---------------------------------------------------------------------------------------------


def test_a_workload_of_account_b_may_call(lab: Lab) -> None:
    workload = lab.role(ACCOUNT_B, "workload", lab.may_assume_executor())

    response = lab.request("GET", TARGET, lab.assume_executor(workload, "222222222222-workload"))

    assert response.status_code == CALLABLE.status


@pytest.mark.parametrize(
    "session_name",
    ["my-user", "222222222222", "22222222222-short", "x222222222222-my-user", "333333333333-222222222222-"],
)
def test_a_session_name_must_begin_with_the_own_account(lab: Lab, session_name: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(lab.user_key, session_name)


@pytest.mark.parametrize(
    "change",
    [str.upper, lambda right: right[:-1], lambda right: f"{right}x", lambda _: "*", lambda right: f"{right[:-1]}?"],
    ids=["upper case", "shorter", "longer", "wildcard", "wildcard for a letter"],
)
def test_the_external_id_must_be_exact(lab: Lab, change: Callable[[str], str]) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(lab.user_key, "222222222222-my-user", external_id=change(lab.external_id))


def test_the_external_id_must_be_given(lab: Lab) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.session(lab.user_key).client("sts").assume_role(
            RoleArn=lab.outputs[ACCOUNT_A]["ExecutorRoleArn"], RoleSessionName="222222222222-my-user"
        )


def test_a_workload_needs_its_own_accounts_permission(lab: Lab) -> None:
    idle = lab.role(ACCOUNT_B, "idle-workload", {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})

    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(idle, "222222222222-idle-workload")


@pytest.mark.parametrize("account", [ACCOUNT_A, ACCOUNT_C])
def test_a_workload_of_another_account_gets_no_session(lab: Lab, account: str) -> None:
    outsider = lab.role(account, "outsider", EVERYTHING)

    for session_name in ("111111111111-outsider", "222222222222-outsider", "333333333333-outsider"):
        with pytest.raises(ClientError, match="AccessDenied"):
            lab.assume_executor(outsider, session_name)


def test_an_access_key_that_is_switched_off_gets_no_session(lab: Lab) -> None:
    leaver = lab.user(ACCOUNT_B, "leaver", lab.may_assume_executor())
    assert lab.assume_executor(leaver, "222222222222-leaver").token

    lab.session(ACCOUNT_B).client("iam").update_access_key(
        UserName="leaver", AccessKeyId=leaver.access_key, Status="Inactive"
    )

    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        lab.assume_executor(leaver, "222222222222-leaver")


# --- What a session may do ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "list_tables", {}),
        ("lambda", "list_functions", {}),
        ("s3", "list_buckets", {}),
        ("iam", "list_roles", {}),
        ("sqs", "list_queues", {}),
        ("apigateway", "get_rest_apis", {}),
        ("cloudformation", "describe_stacks", {}),
        ("logs", "describe_log_groups", {}),
    ],
)
def test_a_session_may_do_nothing_but_call_the_api(
    lab: Lab, me: Credentials, service: str, operation: str, arguments: dict[str, str]
) -> None:
    client = lab.session(me).client(service)  # type: ignore[call-overload]

    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(client, operation)(**arguments)


@pytest.mark.parametrize(("method", "path"), NOT_GRANTED)
def test_a_route_that_is_not_granted_is_refused(lab: Lab, me: Credentials, method: str, path: str) -> None:
    assert lab.request(method, path, me).status_code == 403


def test_another_stage_is_refused(lab: Lab, me: Credentials) -> None:
    request = lab.signed("GET", TARGET, me)
    request.url = f"{lab.api_url.rpartition('/')[0]}/other{TARGET}"
    botocore.auth.SigV4Auth(me, "execute-api", "eu-west-1").add_auth(request)

    assert lab.send(request).status_code == 403


# --- What a signature protects --------------------------------------------------------------------------------------


def test_another_method_than_signed_is_refused(lab: Lab, me: Credentials) -> None:
    request = lab.signed("GET", TARGET, me)
    request.method = "POST"

    assert lab.send(request).headers["x-amzn-errortype"] == "InvalidSignatureException"


def test_another_path_than_signed_is_refused(lab: Lab, me: Credentials) -> None:
    request = lab.signed("GET", TARGET, me)
    request.url = f"{lab.api_url}/other"

    assert lab.send(request).headers["x-amzn-errortype"] == "InvalidSignatureException"


def test_another_body_than_signed_is_refused(lab: Lab, me: Credentials) -> None:
    request = lab.signed("POST", TARGET, me, body={"a": "a"}, headers={"Idempotency-Key": "tampered"})
    request.data = json.dumps({"a": "b"}).encode()

    assert lab.send(request).headers["x-amzn-errortype"] == "InvalidSignatureException"


def test_another_header_than_signed_is_refused(lab: Lab, me: Credentials) -> None:
    request = lab.signed("POST", TARGET, me, body={"a": "a"}, headers={"Idempotency-Key": "tampered"})
    request.headers.replace_header("Idempotency-Key", "other")

    assert lab.send(request).headers["x-amzn-errortype"] == "InvalidSignatureException"


def test_a_signature_with_another_secret_is_refused(lab: Lab, me: Credentials) -> None:
    forged = Credentials(me.access_key, "x" * 40, me.token)

    assert lab.request("GET", TARGET, forged).headers["x-amzn-errortype"] == "InvalidSignatureException"


@pytest.mark.parametrize("token", [None, "x" * 100])
def test_a_session_without_its_own_token_is_refused(lab: Lab, me: Credentials, token: str | None) -> None:
    stolen = Credentials(me.access_key, me.secret_key, token)

    assert lab.request("GET", TARGET, stolen).headers["x-amzn-errortype"] == "UnrecognizedClientException"


def test_an_unknown_access_key_is_refused(lab: Lab) -> None:
    unknown = Credentials("AKIAIOSFODNN7EXAMPLE", "x" * 40)

    assert lab.request("GET", TARGET, unknown).headers["x-amzn-errortype"] == "UnrecognizedClientException"


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_signature_of_another_time_is_refused(
    lab: Lab, me: Credentials, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moment.replace(tzinfo=None))

    response = lab.request("GET", TARGET, me)

    assert response.status_code == 403
    assert response.headers["x-amzn-errortype"] == "InvalidSignatureException"


def test_account_bs_user_may_not_call_without_the_role(lab: Lab) -> None:
    assert lab.request("GET", TARGET, lab.user_key).status_code == 403
