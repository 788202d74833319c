"""Different rights for two consumers on existing APIs, a REST API with a guard and an HTTP API."""

import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from cross_account_lab.sam import SamError
from tests.lab.foreign.apis import Api, Foreign, deploy_access
from tests.support.stacks import update

# The emulator returns 404 instead of 403 to a caller of another account.
REST = """\
                             GET /products  GET /products/7  POST /products  PUT /products/7  DELETE /products/7
workload of B                200            200              403             403              403
user of B                    200            200              403             403              403
user of C                    403            403              200             200              403
user of B in C's role        no session     no session       no session      no session       no session
user of C in B's role        no session     no session       no session      no session       no session
user of B as C               no session     no session       no session      no session       no session
user of B, external id of C  no session     no session       no session      no session       no session
user of B without a role     404            404              404             404              404
unsigned                     403            403              403             403              403
admin of A in B's role       no session     no session       no session      no session       no session
admin of A                   403            403              403             403              403
"""
# An HTTP API has no resource policy: nothing keeps account A's own administrators out.
HTTP = """\
                             GET /items  GET /items/7  POST /items  PUT /items/7  DELETE /items/7
workload of B                200         200           403          403           403
user of B                    200         200           403          403           403
user of C                    403         403           200          200           403
user of B in C's role        no session  no session    no session   no session    no session
user of C in B's role        no session  no session    no session   no session    no session
user of B as C               no session  no session    no session   no session    no session
user of B, external id of C  no session  no session    no session   no session    no session
user of B without a role     404         404           404          404           404
unsigned                     403         403           403          403           403
admin of A in B's role       no session  no session    no session   no session    no session
admin of A                   200         200           200          200           200
"""


def test_who_may_do_what_on_a_rest_api(foreign: Foreign) -> None:
    assert foreign.matrix(foreign.rest) == REST


def test_who_may_do_what_on_an_http_api(foreign: Foreign) -> None:
    assert foreign.matrix(foreign.http) == HTTP


def test_a_session_may_pass_tags_as_the_trust_policy_allows(foreign: Foreign) -> None:
    # As EKS Pod Identity and GitHub Actions do.
    tags = [{"Key": "Repository", "Value": "shop"}]
    user = foreign.users[ACCOUNT_B]
    session = foreign.assume(user, ACCOUNT_B, Tags=tags, TransitiveTagKeys=["Repository"])
    assert foreign.call(foreign.rest, "GET /products", session).status_code == 200

    name = foreign.access[ACCOUNT_B]["ExecutorRoleArn"].rpartition("/")[2]
    iam = foreign.lab.session(ACCOUNT_A).client("iam")
    trust = json.dumps(iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"])
    assert "sts:TagSession" in trust
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust.replace("sts:TagSession", "sts:GetSessionToken"))
    with pytest.raises(ClientError, match="not authorized to perform: sts:TagSession"):
        foreign.assume(user, ACCOUNT_B, Tags=tags)
    assert foreign.assume(user, ACCOUNT_B).token
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)


def test_a_suspended_consumer_loses_its_sessions(foreign: Foreign) -> None:
    session = foreign.assume(foreign.users[ACCOUNT_B], ACCOUNT_B)

    def statuses() -> list[int]:
        apis = (foreign.rest, foreign.http)
        return [foreign.call(api, api.routes[0], session).status_code for api in apis]

    assert statuses() == [200, 200]
    foreign.grant(ACCOUNT_B, suspended=ACCOUNT_IDS[ACCOUNT_B])
    assert statuses() == [403, 403]
    foreign.grant(ACCOUNT_B)
    assert statuses() == [200, 200]


@pytest.fixture
def organizations(foreign: Foreign) -> dict[str, str]:
    """Ids of the organizations by account; in the emulator each account has one of its own."""
    clients = {
        account: foreign.lab.session(account).client("organizations") for account in (ACCOUNT_A, ACCOUNT_B, ACCOUNT_C)
    }
    return {account: client.describe_organization()["Organization"]["Id"] for account, client in clients.items()}


def test_an_organization_is_admitted_and_no_other(foreign: Foreign, organizations: dict[str, str]) -> None:
    lab = foreign.lab
    _, user_c = foreign.users.values()

    def deploy(organization: str) -> None:
        foreign.access["organization"] = deploy_access(
            lab,
            "access-organization",
            GrantedMethodArns=",".join(foreign.http.arns("GET/items")),
            ConsumerOrganizationId=organization,
            ExternalId="external-id",
            RequireMfaForUsers="false",
        )

    def bind_session_names(trust_own_account: bool = False) -> None:
        # No policy variable matches here, and the template takes nothing else for an organization.
        name = foreign.access["organization"]["ExecutorRoleArn"].rpartition("/")[2]
        iam = lab.session(ACCOUNT_A).client("iam")
        trust: Any = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        for statement in trust["Statement"]:
            if "sts:RoleSessionName" in statement["Condition"].get("StringLike", {}):
                statement["Condition"]["StringLike"] = {"sts:RoleSessionName": "222222222222-*"}
            if trust_own_account:
                del statement["Condition"]["StringNotEquals"]
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))

    def may_assume() -> list[str]:
        found = []
        for name, who in {**foreign.users, "workload": foreign.workload, "admin": foreign.admin}.items():
            try:
                foreign.assume(who, "organization", RoleSessionName="222222222222-ann")
            except ClientError as error:
                if error.response["Error"]["Code"] != "AccessDenied":
                    raise
            else:
                found.append(name)
        return found

    deploy(organizations[ACCOUNT_B])
    assert may_assume() == []
    bind_session_names()
    assert may_assume() == [ACCOUNT_B, "workload"]
    with pytest.raises(ClientError, match="AccessDenied"):
        foreign.assume(user_c, "organization", RoleSessionName="333333333333-ann", ExternalId="another")

    # This account's own principals stay out even of their own organization, in which "*" names them, too.
    deploy(organizations[ACCOUNT_A])
    bind_session_names()
    assert may_assume() == []
    bind_session_names(trust_own_account=True)
    assert may_assume() == ["admin"]


def test_rights_that_are_not_spelled_out_are_not_deployed(foreign: Foreign) -> None:
    given = {
        "GrantedMethodArns": ",".join(foreign.rest.arns("GET/products")),
        "ConsumerAccountIds": "",
        "ConsumerSessionName": "222222222222-*",
        "ExternalId": "external-id",
    }
    with pytest.raises(SamError, match="Give either ConsumerAccountIds or ConsumerOrganizationId"):
        deploy_access(foreign.lab, "access-wrong", **given)


# --- On the API of template A -----------------------------------------------------------------------------------------


def test_a_second_role_on_the_same_api_has_its_own_rights(foreign: Foreign) -> None:
    lab, name = foreign.lab, f"access-{uuid4()}"
    provider = lab.outputs[ACCOUNT_A]
    echo = Api(provider["ApiId"], lab.api_url, "v1", ("GET /echo", "POST /echo", "GET /done", "DELETE /echo/7"))
    foreign.access["echo"] = deploy_access(
        lab,
        "access-echo",
        GrantedMethodArns=",".join(echo.arns("GET/echo", "GET/done", "DELETE/echo/*")),
        ConsumerAccountIds=ACCOUNT_IDS[ACCOUNT_C],
        ExternalId="external-id",
    )
    foreign.access["own"] = provider
    b = foreign.assume(foreign.users[ACCOUNT_B], "own", RoleSessionName="222222222222-ann")
    c = foreign.assume(foreign.users[ACCOUNT_C], "echo", RoleSessionName="333333333333-ann")

    assert foreign.call(echo, "GET /echo", c).status_code == 403, "the guard does not admit the role yet"
    update(lab, ACCOUNT_A, MoreExecutorRoleIds=foreign.access["echo"]["ExecutorRoleId"])

    assert foreign.call(echo, "GET /echo", b).json()["account_id"] == "222222222222"
    assert foreign.call(echo, "GET /echo", c).json()["account_id"] == "333333333333"
    created = lab.request("POST", "/echo", b, body={"name": name}, headers={"Idempotency-Key": name})
    assert created.status_code == 201
    assert name in foreign.call(echo, "GET /done", b).json()["names"]
    assert foreign.call(echo, "DELETE /echo/7", b).status_code == 403, "not granted to account B"
    assert foreign.call(echo, "POST /echo", c).status_code == 403, "not granted to account C"
    assert foreign.call(echo, "DELETE /echo/7", c).status_code == 200, "granted to account C"
    assert name not in foreign.call(echo, "GET /done", c).json()["names"]
    assert foreign.call(echo, "GET /echo", foreign.admin).status_code == 403
    update(lab, ACCOUNT_A, MoreExecutorRoleIds="")
