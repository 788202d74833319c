"""What account A's template deploys: one API that only the executor's sessions may call."""

from __future__ import annotations

import json
import re
from typing import Any

import botocore.session
import pytest
from botocore.model import StringShape

from cross_account_access.model import load
from cross_account_access.templates import resolved, source

API = load().api
ROUTES = {(route.method, route.path) for route in load().routes}
BACKENDS = sorted({route.function for route in load().routes})
TABLES = [name for name, item in resolved("a")["Resources"].items() if item["Type"] == "AWS::DynamoDB::Table"]


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = resolved("a")["Resources"]
    return found


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: item["Properties"] for name, item in resources.items() if item["Type"] == kind}


def test_every_route_is_signed_and_invoked_as_the_api(resources: dict[str, Any]) -> None:
    body = resources[API]["Properties"]["Body"]
    assert body["components"]["securitySchemes"]["AWS_IAM"]["x-amazon-apigateway-authtype"] == "awsSigv4"
    routes = {(method.upper(), path): item for path, items in body["paths"].items() for method, item in items.items()}
    assert routes
    for route in routes.values():
        assert route["security"] == [{"AWS_IAM": []}]
        assert "credentials" not in route["x-amazon-apigateway-integration"]
        assert route["x-amazon-apigateway-integration"]["type"] == "aws_proxy"


def test_there_is_one_regional_api_with_one_throttled_stage(resources: dict[str, Any]) -> None:
    (api,) = of_type(resources, "AWS::ApiGateway::RestApi").values()
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"], "IpAddressType": "dualstack"}
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    assert stage["StageName"] == "v1"
    (settings,) = stage["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (100, 200)
    assert "CachingEnabled" not in settings, "a cached response would be served to other consumers"


def test_the_api_speaks_modern_tls_only_under_its_own_name(resources: dict[str, Any]) -> None:
    api = resources[API]["Properties"]
    policies = botocore.session.get_session().get_service_model("apigateway").shape_for("SecurityPolicy")
    assert isinstance(policies, StringShape)
    assert api["SecurityPolicy"] in policies.enum
    assert api["SecurityPolicy"].startswith("SecurityPolicy_TLS13_1_2_"), "TLS 1.2 and 1.3, nothing older"
    assert api["EndpointAccessMode"] == "STRICT"


def test_every_deployment_carries_the_policy_as_it_is_now() -> None:
    assert source("a")["Resources"][API]["Properties"]["AlwaysDeploy"] is True


def guard(**parameters: Any) -> list[dict[str, Any]]:
    api = resolved("a", **parameters)["Resources"][API]["Properties"]
    statements: list[dict[str, Any]] = api["Policy"]["Statement"]
    for statement in statements:
        assert statement["Effect"] == "Deny"
        assert statement["Principal"] == "*"
        assert statement["Action"] == "execute-api:Invoke"
        assert statement["Resource"] == "execute-api:/*"
    return statements


@pytest.mark.parametrize(
    ("more", "patterns"),
    [
        ("", ["ExecutorRole.RoleId:*"]),
        ("AROA1", ["ExecutorRole.RoleId:*", "AROA1:*"]),
        ("AROA1,AROA2", ["ExecutorRole.RoleId:*", "AROA1:*", "AROA2:*"]),
    ],
)
def test_the_resource_policy_denies_all_but_executor_sessions(more: str, patterns: list[str]) -> None:
    (statement,) = guard(MoreExecutorRoleIds=more)
    assert statement["Condition"] == {"StringNotLike": {"aws:userid": patterns}}
    for backend in BACKENDS:
        variables = resolved("a", MoreExecutorRoleIds=more)["Resources"][backend]["Properties"]["Environment"]
        admitted = variables["Variables"]["EXECUTOR_ROLE_IDS"].split(",")
        assert [f"{role}:*" for role in admitted] == patterns, "API and backend admit the same roles"


def test_suspended_consumers_are_refused_in_every_role() -> None:
    _, suspended = guard(SuspendedConsumerIds="222222222222,333333333333")
    assert suspended["Condition"] == {"StringLike": {"aws:userid": ["*:222222222222-*", "*:333333333333-*"]}}


def trust(**parameters: Any) -> dict[str, dict[str, Any]]:
    """The statements of the executor role's trust policy, by Sid."""
    role = resolved("a", **parameters)["Resources"]["ExecutorRole"]["Properties"]
    assert role["MaxSessionDuration"] == 3600
    return {statement["Sid"]: statement for statement in role["AssumeRolePolicyDocument"]["Statement"]}


ASSUMING = ("AssumeForWorkloads", "AssumeForUsers")


def test_trust_demands_external_id_and_bound_session_name() -> None:
    statements = trust(ConsumerAccountIds="222222222222,333333333333")
    for sid, principal_type in zip(ASSUMING, ("AssumedRole", "User"), strict=True):
        statement = statements[sid]
        assert statement["Effect"] == "Allow"
        assert statement["Principal"] == {"AWS": ["222222222222", "333333333333"]}
        assert statement["Action"] == "sts:AssumeRole"
        condition = statement["Condition"]
        assert condition["StringEquals"] == {"aws:PrincipalType": principal_type, "sts:ExternalId": ["external-id"]}
        assert condition["StringLike"] == {"sts:RoleSessionName": ["${aws:PrincipalAccount}-*"]}
        assert condition["ArnLike"] == {"aws:PrincipalArn": ["arn:*:*::*:*"]}
    assert [sid for sid, item in statements.items() if "sts:AssumeRole" in item["Action"]] == list(ASSUMING)


@pytest.mark.parametrize("required", ["true", "false"])
def test_users_need_mfa_unless_it_is_waived(required: str) -> None:
    statements = trust(RequireMfaForUsers=required)
    expected = {"Bool": {"aws:MultiFactorAuthPresent": "true"}} if required == "true" else {}
    assert {key: value for key, value in statements["AssumeForUsers"]["Condition"].items() if key == "Bool"} == expected
    assert "Bool" not in statements["AssumeForWorkloads"]["Condition"]


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_people_of_identity_center_can_be_kept_out(allowed: str) -> None:
    condition = trust(AllowIdentityCenterUsers=allowed)["AssumeForWorkloads"]["Condition"]
    kept_out = condition.get("ArnNotLike", {}).get("aws:PrincipalArn")
    assert kept_out == (None if allowed == "true" else "arn:*:iam::*:role/aws-reserved/sso.amazonaws.com/*")


def test_sessions_with_tags_or_source_identity_may_assume_it() -> None:
    statement = trust()["PassTagsAndSourceIdentity"]
    assert statement["Action"] == ["sts:TagSession", "sts:SetSourceIdentity"]
    assert statement["Principal"] == trust()["AssumeForWorkloads"]["Principal"]
    # AWS documents sts:ExternalId and sts:RoleSessionName for AssumeRole only: a condition on them might never match.
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
    keys = {key for operator in statement["Condition"].values() for key in operator}
    assert keys == {"aws:PrincipalArn"}


def test_the_external_id_can_be_rotated_without_an_interruption() -> None:
    statements = trust(ExternalId="new-id", PreviousExternalId="old-id")
    for sid in ASSUMING:
        assert statements[sid]["Condition"]["StringEquals"]["sts:ExternalId"] == ["new-id", "old-id"]


def test_the_account_wide_logs_role_is_set_only_when_asked_for(resources: dict[str, Any]) -> None:
    assert not {"ApiGatewayLogsRole", "ApiGatewayAccount"} & set(resources)
    asked = resolved("a", SetApiGatewayLogsRole="true")["Resources"]
    assert asked["ApiGatewayAccount"]["Properties"] == {"CloudWatchRoleArn": "ApiGatewayLogsRole.Arn"}
    # The API first, then the account's setting, then the stage, which names the log group.
    assert asked["ApiGatewayAccount"]["DependsOn"] == API
    assert asked["AccessLogGroup"]["Metadata"]["CreatedAfter"] == "ApiGatewayAccount"
    (statement,) = asked["ApiGatewayLogsRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert "Condition" not in statement, "AWS documents no condition key that API Gateway sends here"


def test_nothing_outlives_a_failed_first_deployment_but_the_accounts_logs_role() -> None:
    kept = {
        name: item
        for name, item in resolved("a", SetApiGatewayLogsRole="true")["Resources"].items()
        if item.get("DeletionPolicy", "Delete") != "Delete"
    }
    # CloudFormation cannot take back the account's setting, so the role that it names stays.
    setting = [kept.pop(name) for name in ("ApiGatewayLogsRole", "ApiGatewayAccount")]
    assert {(item["DeletionPolicy"], item["UpdateReplacePolicy"]) for item in setting} == {("Retain", "Retain")}
    assert set(kept) == set(TABLES)
    for item in kept.values():
        assert (item["DeletionPolicy"], item["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
        # Deletion protection would stop CloudFormation from rolling a creation back.
        assert item["Properties"].get("DeletionProtectionEnabled", "false") == "false"
    protected = resolved("a", ProtectTables="true")["Resources"]
    assert {protected[name]["Properties"]["DeletionProtectionEnabled"] for name in TABLES} <= {"true"}


def test_the_access_log_is_json_with_what_operators_ask_for(resources: dict[str, Any]) -> None:
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    assert stage["AccessLogSetting"]["DestinationArn"] == "AccessLogGroup.Arn"
    assert resources["AccessLogGroup"]["Properties"]["RetentionInDays"] == 30
    fields = json.loads(stage["AccessLogSetting"]["Format"])
    assert "\n" not in stage["AccessLogSetting"]["Format"]
    assert {"request_id", "session", "method", "route", "path", "status", "latency_ms", "error_type"} <= fields.keys()


def test_the_access_log_quotes_no_session_token(resources: dict[str, Any]) -> None:
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    logged = set(re.findall(r"\$context\.([\w.]+)", stage["AccessLogSetting"]["Format"]))
    assert not logged & {"error.message", "error.messageString", "authenticate.error"}


def test_only_this_api_may_invoke_the_backend(resources: dict[str, Any]) -> None:
    permissions = of_type(resources, "AWS::Lambda::Permission").values()
    assert {item["SourceArn"] for item in permissions} == {
        f"arn:aws:execute-api:eu-west-1:111111111111:{API}/*/{method}{re.sub(r'{.*?}', '*', path)}"
        for method, path in ROUTES
    }
    for item in permissions:
        assert item["Principal"] == "apigateway.amazonaws.com"
        assert item["Action"] == "lambda:InvokeFunction"
    assert {item["FunctionName"] for item in permissions} == set(BACKENDS)


@pytest.mark.parametrize("name", TABLES)
def test_data_can_be_recovered_and_outlives_the_stack(resources: dict[str, Any], name: str) -> None:
    table = resources[name]
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize("name", BACKENDS)
def test_the_backend_responds_before_the_api_gives_up(resources: dict[str, Any], name: str) -> None:
    assert resources[name]["Properties"]["Timeout"] < 29


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        ("ExternalId", "orders-7f3c", True),
        ("ExternalId", "a b", False),
        ("ExternalId", "käse*", False),
        ("ConsumerAccountIds", "222222222222", True),
        ("ConsumerAccountIds", "22222222222", False),
        ("ConsumerAccountIds", "*", False),
        ("ConsumerSessionName", "222222222222-*", True),
        ("ConsumerSessionName", "*", False),
        ("ConsumerSessionName", "2*-job", False),
        ("CallerPrincipalArns", "arn:aws:iam::222222222222:role/job-*", True),
        ("CallerPrincipalArns", "*", False),
        ("SuspendedConsumerIds", "", True),
        ("SuspendedConsumerIds", "22222222222*", False),
        ("MoreExecutorRoleIds", "AROAEXECUTOREXAMPLE1", True),
        ("MoreExecutorRoleIds", "*", False),
        ("PermissionsBoundaryArn", "arn:aws:iam::111111111111:policy/team/boundary", True),
        ("PermissionsBoundaryArn", "boundary", False),
        ("RolePath", "/team/api/", True),
        ("RolePath", "team", False),
        ("StageName", "v1", True),
        ("StageName", "v1/*", False),
    ],
)
def test_parameters_are_checked_before_anything_is_deployed(parameter: str, value: str, accepted: bool) -> None:
    pattern = source("a")["Parameters"][parameter]["AllowedPattern"]
    # CloudFormation's patterns are Java's, where \w is ASCII.
    assert bool(re.fullmatch(pattern, value, re.ASCII)) is accepted
