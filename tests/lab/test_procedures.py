"""The procedures of docs/operate.md, run as documented."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.lab import Lab


def documented_policy(name: str) -> str:
    """The policy that docs/operate.md puts on the role."""
    assert f"file://docs/policies/{name}.json" in (PROJECT / "docs/operate.md").read_text()
    return (PROJECT / f"docs/policies/{name}.json").read_text()


@contextmanager
def policy_of_the_executor(lab: Lab, policy: str) -> Iterator[None]:
    """Put an inline policy on the executor role for the length of a block, as the documented commands do."""
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    iam.put_role_policy(RoleName=role, PolicyName="Procedure", PolicyDocument=policy)
    yield
    iam.delete_role_policy(RoleName=role, PolicyName="Procedure")


def test_a_suspended_consumer_is_refused_until_readmitted(own_lab: Lab) -> None:
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    assert own_lab.request("GET", "/echo", session).status_code == 200

    with policy_of_the_executor(own_lab, documented_policy("suspend")):
        # Sessions from before, new ones, and the function's.
        assert own_lab.request("GET", "/echo", session).status_code == 403
        new = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
        assert own_lab.request("GET", "/echo", new).status_code == 403
        assert own_lab.invoke({"path": "/echo"})["errorMessage"].startswith("The API answered 403")

    assert own_lab.request("GET", "/echo", session).status_code == 200
    assert own_lab.invoke({"path": "/echo"})["status"] == 200


def test_a_suspension_leaves_other_consumers_alone(own_lab: Lab) -> None:
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    other = documented_policy("suspend").replace("222222222222", "333333333333")

    with policy_of_the_executor(own_lab, other):
        assert own_lab.request("GET", "/echo", session).status_code == 200


def test_a_consumer_can_be_suspended_by_a_deployment(own_lab: Lab) -> None:
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")

    own_lab.deploy(ACCOUNT_A, SuspendedConsumerIds="333333333333,222222222222")
    assert own_lab.request("GET", "/echo", session).status_code == 403

    own_lab.deploy(ACCOUNT_A, SuspendedConsumerIds="333333333333")
    assert own_lab.request("GET", "/echo", session).status_code == 200

    own_lab.deploy(ACCOUNT_A, SuspendedConsumerIds="")
    assert own_lab.request("GET", "/echo", session).status_code == 200


def test_no_call_fails_while_the_external_id_is_rotated(own_lab: Lab) -> None:
    def accepted(external_id: str) -> bool:
        # A new session each time: one from before would prove nothing.
        try:
            own_lab.assume_executor(own_lab.user_key, "222222222222-my-user", external_id=external_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True

    own_lab.deploy(ACCOUNT_A, ExternalId="rotated", PreviousExternalId=own_lab.external_id)
    assert accepted(own_lab.external_id)
    assert accepted("rotated")

    own_lab.deploy(ACCOUNT_B, ExternalId="rotated")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200

    own_lab.deploy(ACCOUNT_A, ExternalId="rotated", PreviousExternalId="")
    assert accepted("rotated")
    assert not accepted(own_lab.external_id)

    # Back to what other tests expect.
    own_lab.deploy(ACCOUNT_A)
    own_lab.deploy(ACCOUNT_B)
