"""Who may do what, tried with real requests on any API's routes."""

import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_access.model import Route
from cross_account_lab.access import Observations, admit_fewer, least_route, observe, routes
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, REGION
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


def refused(lab: Lab, who: Credentials, session_name: str, **options: str) -> bool:
    try:
        lab.assume_executor(who, session_name, **options)  # type: ignore[arg-type]
    except ClientError as error:
        return error.response["Error"]["Code"] == "AccessDenied"
    return False


def test_a_workload_needs_its_own_accounts_permission(lab: Lab) -> None:
    workload = lab.role(ACCOUNT_B, "workload", lab.may_assume_executor())
    idle = lab.role(ACCOUNT_B, "idle-workload", {**EVERYTHING, "Action": "s3:GetObject"})

    response = lab.request("GET", TARGET, lab.assume_executor(workload, "222222222222-workload"))

    assert response.status_code == CALLABLE.status
    assert refused(lab, idle, "222222222222-idle-workload")


@pytest.mark.parametrize(
    "session_name",
    ["my-user", "222222222222", "22222222222-short", "x222222222222-my-user", "333333333333-222222222222-"],
)
def test_a_session_name_must_begin_with_the_own_account(lab: Lab, session_name: str) -> None:
    assert refused(lab, lab.user_key, session_name)


def test_the_external_id_must_be_exact_and_given(lab: Lab) -> None:
    right, name = lab.external_id, "222222222222-my-user"
    for wrong in (right.upper(), right[:-1], f"{right}x", "*", f"{right[:-1]}?"):
        assert refused(lab, lab.user_key, name, external_id=wrong), wrong
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.session(lab.user_key).client("sts").assume_role(
            RoleArn=lab.outputs[ACCOUNT_A]["ExecutorRoleArn"], RoleSessionName=name
        )
    assert not refused(lab, lab.user_key, name)


@pytest.mark.parametrize("account", [ACCOUNT_A, ACCOUNT_C])
def test_a_workload_of_another_account_gets_no_session(lab: Lab, account: str) -> None:
    outsider = lab.role(account, "outsider", EVERYTHING)

    for session_name in ("111111111111-outsider", "222222222222-outsider", "333333333333-outsider"):
        assert refused(lab, outsider, session_name)


def test_an_access_key_that_is_switched_off_gets_no_session(lab: Lab) -> None:
    leaver = lab.user(ACCOUNT_B, "leaver", lab.may_assume_executor())
    assert lab.assume_executor(leaver, "222222222222-leaver").token

    lab.session(ACCOUNT_B).client("iam").update_access_key(
        UserName="leaver", AccessKeyId=leaver.access_key, Status="Inactive"
    )

    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        lab.assume_executor(leaver, "222222222222-leaver")


# --- What a session may do ------------------------------------------------------------------------------------------


def test_a_session_may_do_nothing_but_call_the_api(lab: Lab, me: Credentials) -> None:
    session = lab.session(me)
    for attempt in (
        session.client("dynamodb").list_tables,
        session.client("lambda").list_functions,
        session.client("iam").list_roles,
        session.client("sqs").list_queues,
        session.client("apigateway").get_rest_apis,
        session.client("logs").describe_log_groups,
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()


@pytest.mark.parametrize(("method", "path"), NOT_GRANTED)
def test_a_route_that_is_not_granted_is_refused(lab: Lab, me: Credentials, method: str, path: str) -> None:
    assert lab.request(method, path, me).status_code == 403


def test_another_stage_is_refused(lab: Lab, me: Credentials) -> None:
    request = lab.signed("GET", TARGET, me)
    request.url = f"{lab.api_url.rpartition('/')[0]}/other{TARGET}"
    SigV4Auth(me, "execute-api", REGION).add_auth(request)

    assert lab.send(request).status_code == 403
