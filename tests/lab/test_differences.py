"""Differences from AWS that docs/lab.md lists: one that is gone can be removed there and in the lab."""

from contextlib import nullcontext

import pytest
from botocore.exceptions import ClientError

from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import Lab


def test_failed_calls_are_not_moved_by_sqs(own_lab: Lab) -> None:
    outputs = own_lab.outputs[ACCOUNT_B]

    with pytest.raises(ClientError, match="InvalidAction"):
        own_lab.session(ACCOUNT_B).client("sqs").start_message_move_task(
            SourceArn=outputs["FailedCallQueueArn"], DestinationArn=outputs["CallQueueArn"]
        )


def test_every_error_type_of_a_function_is_the_same(own_lab: Lab) -> None:
    assert (
        own_lab.invoke({"path": "no slash"})["errorType"] == own_lab.invoke([])["errorType"] == "Runtime.HandlerError"
    )


@pytest.mark.parametrize(("name", "value"), [("literal", "literal"), ("variable", "${aws:username}")])
def test_policy_variables_never_match(own_lab: Lab, name: str, value: str) -> None:
    condition = {"StringEquals": {"aws:username": value}}
    user = own_lab.user(ACCOUNT_B, name, {**own_lab.may_assume_executor(), "Condition": condition})
    refused = pytest.raises(ClientError, match="AccessDenied")

    with refused if name == "variable" else nullcontext():
        own_lab.assume_executor(user, f"222222222222-{name}")
