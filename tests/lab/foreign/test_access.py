"""Rights on existing APIs, a REST API with a guard and an HTTP API."""

import pytest
from botocore.exceptions import ClientError

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from cross_account_lab.lab import Lab
from tests.lab.foreign.apis import STACK, Foreign
from tests.support.stacks import change

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


# An HTTP API has no resource policy: nothing keeps account A's own administrators out.
@pytest.mark.parametrize(("kind", "admin"), [("rest", [403] * 5), ("http", [200] * 5)])
def test_who_may_do_what(foreign: Foreign, kind: str, admin: list[int]) -> None:
    api, lab = getattr(foreign, kind), foreign.lab
    workload = lab.role(ACCOUNT_B, f"workload-{kind}", EVERYTHING)
    callers = {
        "user of B": foreign.assume(foreign.user),
        "workload of B": foreign.assume(workload),
        "admin of A": lab.user(ACCOUNT_A, f"admin-{kind}", EVERYTHING),
        "unsigned": None,
    }

    assert {
        name: [foreign.call(api, route, who).status_code for route in api.routes] for name, who in callers.items()
    } == {
        "user of B": [200, 200, 403, 403, 403],
        "workload of B": [200, 200, 403, 403, 403],
        "admin of A": admin,
        "unsigned": [403] * 5,
    }


def test_who_gets_no_session(foreign: Foreign, lab: Lab) -> None:
    for who, options in (
        (lab.user(ACCOUNT_A, "admin-without-role", EVERYTHING), {}),
        (lab.user(ACCOUNT_C, "user-without-role", EVERYTHING), {}),
        (foreign.user, {"RoleSessionName": f"{ACCOUNT_IDS[ACCOUNT_C]}-ann"}),
        (foreign.user, {"ExternalId": "external-id-of-c"}),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            foreign.assume(who, **options)


def test_a_session_may_pass_tags_as_the_trust_policy_allows(foreign: Foreign) -> None:
    # As EKS Pod Identity and GitHub Actions do.
    tags = [{"Key": "Repository", "Value": "shop"}]
    session = foreign.assume(foreign.user, Tags=tags, TransitiveTagKeys=["Repository"])
    assert foreign.call(foreign.rest, "GET /products", session).status_code == 200


def test_a_suspended_consumer_loses_its_sessions(foreign: Foreign) -> None:
    session = foreign.assume(foreign.user)
    for suspended, status in ((ACCOUNT_IDS[ACCOUNT_B], 403), ("", 200)):
        change(foreign.lab.session(ACCOUNT_A), STACK, {"SuspendedConsumerIds": suspended})
        for api in (foreign.rest, foreign.http):
            assert foreign.call(api, api.routes[0], session).status_code == status
