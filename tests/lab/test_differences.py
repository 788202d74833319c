"""Differences from AWS that docs/local-runtime.md lists: one that is gone can be removed there and in the lab."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from lab.accounts import ACCOUNT_B
from lab.lab import Lab


def test_an_unknown_route_is_refused_like_one_without_a_grant(lab: Lab, me: Credentials) -> None:
    response = lab.request("GET", "/nowhere", me)

    assert (response.status_code, response.headers["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert set(response.json()) == {"__type", "message"}


def test_the_backend_and_the_response_have_different_request_ids(lab: Lab, me: Credentials) -> None:
    response = lab.request("GET", "/whoami", me)

    assert response.json()["request_id"] != response.headers["x-amzn-requestid"]


def test_failed_calls_are_not_moved_by_sqs(lab: Lab) -> None:
    outputs = lab.outputs[ACCOUNT_B]

    with pytest.raises(ClientError, match="InvalidAction"):
        lab.session(ACCOUNT_B).client("sqs").start_message_move_task(
            SourceArn=outputs["FailedCallQueueArn"], DestinationArn=outputs["CallQueueArn"]
        )


def test_every_error_type_of_a_function_is_the_same(lab: Lab) -> None:
    assert lab.invoke({"path": "no slash"})["errorType"] == lab.invoke([])["errorType"] == "Runtime.HandlerError"


@pytest.mark.parametrize(("name", "value"), [("literal", "literal"), ("variable", "${aws:username}")])
def test_policy_variables_never_match(lab: Lab, name: str, value: str) -> None:
    condition = {"StringEquals": {"aws:username": value}}
    user = lab.user(ACCOUNT_B, name, {**lab.may_assume_executor(), "Condition": condition})
    refused = pytest.raises(ClientError, match="AccessDenied")

    with refused if name == "variable" else nullcontext():
        lab.assume_executor(user, f"222222222222-{name}")
