"""Only sessions of the executor roles are consumers, even if API Gateway admits others."""

from typing import Any

import pytest

from cross_account_backend import Consumer, UnknownCallerError, identify
from tests.support.signers import ARN, FORGED, OTHER_ROLE_ID, ROLE_ID


def rest_api(caller: str | None, user_arn: str | None) -> dict[str, Any]:
    return {"requestContext": {"identity": {"caller": caller, "userArn": user_arn}}}


def http_api(caller: str | None, user_arn: str | None) -> dict[str, Any]:
    return {"requestContext": {"authorizer": {"iam": {"callerId": caller, "userArn": user_arn}}}}


SIGNED_BY_AUTHORIZER = http_api(f"{ROLE_ID}:222222222222-x", f"{ARN}/222222222222-x")["requestContext"]
every_api = pytest.mark.parametrize("event", [rest_api, http_api])


@every_api
@pytest.mark.parametrize("session_name", ["222222222222-orders-caller", "222222222222-", "222222222222-my.user@b=1,+_"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
@pytest.mark.parametrize("role_id", [ROLE_ID, OTHER_ROLE_ID])
def test_the_account_comes_from_the_bound_session_name(
    event: Any, session_name: str, partition: str, role_id: str
) -> None:
    arn = f"arn:{partition}:sts::111111111111:assumed-role/executor/{session_name}"
    consumer = identify(event(f"{role_id}:{session_name}", arn), [ROLE_ID, OTHER_ROLE_ID])
    assert consumer == Consumer(account_id="222222222222", session_name=session_name)


@every_api
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED.keys())
def test_anyone_else_is_refused(event: Any, forged: dict[str, str | None]) -> None:
    with pytest.raises(UnknownCallerError):
        identify(event(forged["caller"], forged["userArn"]), {ROLE_ID})


@pytest.mark.parametrize("role_ids", [(), {OTHER_ROLE_ID}, ROLE_ID, f"{ROLE_ID},{OTHER_ROLE_ID}"])
def test_only_the_given_roles_count(role_ids: Any) -> None:
    with pytest.raises(UnknownCallerError):
        identify(rest_api(f"{ROLE_ID}:222222222222-x", f"{ARN}/222222222222-x"), role_ids)
    with pytest.raises(UnknownCallerError):
        identify(rest_api(":222222222222-x", f"{ARN}/222222222222-x"), ["", ROLE_ID])


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"requestContext": None},
        {"requestContext": {}},
        {"requestContext": {"identity": None}},
        {"requestContext": {"authorizer": None}},
        {"requestContext": {"authorizer": {"lambda": {"callerId": f"{ROLE_ID}:222222222222-x"}}}},
        {"requestContext": {"authorizer": {"iam": None}}},
        # A REST API's authorizer chooses the names in its context; only API Gateway sets the identity.
        {"requestContext": rest_api(None, None)["requestContext"] | SIGNED_BY_AUTHORIZER},
    ],
)
def test_an_event_without_a_signer_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(UnknownCallerError):
        identify(event, {ROLE_ID})
