"""Different rights for two consumers on existing APIs, a REST API with a guard and an HTTP API."""

from cross_account_lab.accounts import ACCOUNT_B, ACCOUNT_IDS
from tests.lab.foreign.apis import Foreign

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
    session = foreign.assume(foreign.users[ACCOUNT_B], ACCOUNT_B, Tags=tags, TransitiveTagKeys=["Repository"])
    assert foreign.call(foreign.rest, "GET /products", session).status_code == 200


def test_a_suspended_consumer_loses_its_sessions(foreign: Foreign) -> None:
    session = foreign.assume(foreign.users[ACCOUNT_B], ACCOUNT_B)
    for suspended, status in ((ACCOUNT_IDS[ACCOUNT_B], 403), ("", 200)):
        foreign.suspend(ACCOUNT_B, ids=suspended)
        for api in (foreign.rest, foreign.http):
            assert foreign.call(api, api.routes[0], session).status_code == status
