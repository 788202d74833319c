"""What account A's template deploys: one API that only the executor's sessions may call.

Who may call it is proven in tests/templates/access, for every request; here is what no policy says.
"""

import json
import re
from typing import Any

import botocore.session
import pytest
from botocore.model import StringShape

from cross_account_access.model import load
from cross_account_access.proof import prove
from cross_account_access.properties import PROPERTIES
from tests.templates.stacks import of_type, properties, resources, written

API = load().api
BACKENDS = sorted({route.function for route in load().routes})
TABLES = sorted(of_type("AWS::DynamoDB::Table", "a"))


def stage() -> dict[str, Any]:
    (found,) = of_type("AWS::ApiGateway::Stage", "a").values()
    return found


def test_every_route_is_signed_and_invoked_as_the_api() -> None:
    body = properties(API, "a")["Body"]
    assert body["components"]["securitySchemes"]["AWS_IAM"]["x-amazon-apigateway-authtype"] == "awsSigv4"
    routes = [item for items in body["paths"].values() for item in items.values()]
    assert routes
    for route in routes:
        assert route["security"] == [{"AWS_IAM": []}]
        assert "credentials" not in route["x-amazon-apigateway-integration"]
        assert route["x-amazon-apigateway-integration"]["type"] == "aws_proxy"


def test_the_api_speaks_modern_tls_only_under_its_own_name() -> None:
    api = properties(API, "a")
    policies = botocore.session.get_session().get_service_model("apigateway").shape_for("SecurityPolicy")
    assert isinstance(policies, StringShape)
    assert api["SecurityPolicy"] in policies.enum
    assert api["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2_"), "TLS 1.2 and 1.3, nothing older"
    assert api["EndpointAccessMode"] == "STRICT"


def test_every_deployment_carries_the_policy_as_it_is_now() -> None:
    assert written("a")["Resources"][API]["Properties"]["AlwaysDeploy"] is True


@pytest.mark.parametrize("more", ["", "AROA1", "AROA1,AROA2"])
def test_api_and_backend_admit_the_same_roles(more: str) -> None:
    (guard,) = properties(API, "a", MoreExecutorRoleIds=more)["Policy"]["Statement"]
    for backend in BACKENDS:
        admitted = properties(backend, "a", MoreExecutorRoleIds=more)["Environment"]["Variables"]["EXECUTOR_ROLE_IDS"]
        assert [f"{role}:*" for role in admitted.split(",")] == guard["Condition"]["StringNotLike"]["aws:userid"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"SuspendedConsumerIds": ["222222222222", "333333333333"]}, "Whatever anybody's own policies say"),
        ({"AllowIdentityCenterUsers": "false"}, "The executor role can be assumed by"),
    ],
    ids=["two suspended", "no Identity Center"],
)
def test_what_is_proven_holds_for_other_parameters(given: dict[str, Any], sentence: str) -> None:
    (item,) = (item for item in PROPERTIES if item.sentence.startswith(sentence))
    assert prove(item, load(a=given)).proven


def test_a_session_lasts_an_hour_and_may_have_tags_or_a_source_identity() -> None:
    role = properties("ExecutorRole", "a")
    assert role["MaxSessionDuration"] == 3600
    statements = {statement["Sid"]: statement for statement in role["AssumeRolePolicyDocument"]["Statement"]}
    passing = statements["PassTagsAndSourceIdentity"]
    assert passing["Action"] == ["sts:TagSession", "sts:SetSourceIdentity"]
    # AWS documents sts:ExternalId and sts:RoleSessionName for AssumeRole only: a condition on them might never match.
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
    assert {key for operator in passing["Condition"].values() for key in operator} == {"aws:PrincipalArn"}


def test_the_account_wide_logs_role_is_set_only_when_asked_for() -> None:
    assert not {"ApiGatewayLogsRole", "ApiGatewayAccount"} & set(resources("a"))
    asked = resources("a", SetApiGatewayLogsRole="true")
    # The API first, then the account's setting, then the stage, which names the log group.
    assert asked["ApiGatewayAccount"]["DependsOn"] == API
    assert asked["AccessLogGroup"]["Metadata"]["CreatedAfter"] == "ApiGatewayAccount"


def test_data_can_be_recovered_and_outlives_the_stack() -> None:
    kept = {
        name: item
        for name, item in resources("a", SetApiGatewayLogsRole="true").items()
        if item.get("DeletionPolicy", "Delete") != "Delete"
    }
    # CloudFormation cannot take back the account's setting, so the role that it names stays.
    for name in ("ApiGatewayLogsRole", "ApiGatewayAccount"):
        item = kept.pop(name)
        assert (item["DeletionPolicy"], item["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert sorted(kept) == TABLES
    for name, item in kept.items():
        # Nothing else outlives a failed first deployment.
        assert (item["DeletionPolicy"], item["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
        # Deletion protection would stop CloudFormation from rolling a creation back.
        assert item["Properties"].get("DeletionProtectionEnabled", "false") == "false"
        assert item["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert properties(name, "a", ProtectTables="true")["DeletionProtectionEnabled"] == "true"


def test_the_access_log_is_json_with_what_operators_ask_for() -> None:
    log = stage()["AccessLogSetting"]
    assert log["DestinationArn"] == "AccessLogGroup.Arn"
    assert properties("AccessLogGroup", "a")["RetentionInDays"] == 30
    assert "\n" not in log["Format"]
    asked = {"request_id", "session", "method", "route", "path", "status", "latency_ms", "error_type"}
    assert asked <= json.loads(log["Format"]).keys()


def test_the_access_log_quotes_no_session_token() -> None:
    logged = set(re.findall(r"\$context\.([\w.]+)", stage()["AccessLogSetting"]["Format"]))
    assert not logged & {"error.message", "error.messageString", "authenticate.error"}


@pytest.mark.parametrize("name", BACKENDS)
def test_the_backend_responds_before_the_api_gives_up(name: str) -> None:
    assert properties(name, "a")["Timeout"] < 29
