"""The policies of docs/operate.md, put in place as documented."""

from collections.abc import Iterator
from contextlib import contextmanager

from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import ACCOUNT_A
from cross_account_lab.lab import Lab


def documented_policy(name: str) -> str:
    """The policy that docs/operate.md links to."""
    return (PROJECT / f"docs/policies/{name}.json").read_text()


@contextmanager
def policy_of_the_executor(lab: Lab, policy: str) -> Iterator[None]:
    """Put an inline policy on the executor role for the length of a block, as the documented commands do."""
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    iam.put_role_policy(RoleName=role, PolicyName="Procedure", PolicyDocument=policy)
    yield
    iam.delete_role_policy(RoleName=role, PolicyName="Procedure")


def test_a_suspended_consumer_is_refused_until_readmitted(lab: Lab) -> None:
    session = lab.assume_executor(lab.user_key, "222222222222-my-user")
    assert lab.request("GET", "/whoami", session).status_code == 200

    with policy_of_the_executor(lab, documented_policy("suspend")):
        # Sessions from before, new ones, and the function's.
        assert lab.request("GET", "/whoami", session).status_code == 403
        new = lab.assume_executor(lab.user_key, "222222222222-my-user")
        assert lab.request("GET", "/whoami", new).status_code == 403
        assert lab.invoke({"path": "/whoami"})["errorMessage"].startswith("The API answered 403")

    assert lab.request("GET", "/whoami", session).status_code == 200
    assert lab.invoke({"path": "/whoami"})["status"] == 200

    # The same policy for another consumer leaves this one alone.
    with policy_of_the_executor(lab, documented_policy("suspend").replace("222222222222", "333333333333")):
        assert lab.request("GET", "/whoami", session).status_code == 200
