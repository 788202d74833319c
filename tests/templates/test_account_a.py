"""What account A's template deploys: one API that nobody but the executor's sessions may call."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from access.templates import resolved, source

ROUTES = {
    ("GET", "/whoami"),
    ("POST", "/orders"),
    ("GET", "/orders"),
    ("GET", "/orders/{order_id}"),
    ("DELETE", "/orders/{order_id}"),
}
GRANTED = ROUTES - {("DELETE", "/orders/{order_id}")}


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = resolved("a")["Resources"]
    return found


def of_type(resources: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: item["Properties"] for name, item in resources.items() if item["Type"] == kind}


def test_every_route_is_signed_and_invoked_as_the_api(resources: dict[str, Any]) -> None:
    body = resources["OrdersApi"]["Properties"]["Body"]
    assert body["components"]["securitySchemes"]["AWS_IAM"]["x-amazon-apigateway-authtype"] == "awsSigv4"
    routes = {(method.upper(), path): item for path, items in body["paths"].items() for method, item in items.items()}
    assert set(routes) == ROUTES
    for route in routes.values():
        assert route["security"] == [{"AWS_IAM": []}]
        assert "credentials" not in route["x-amazon-apigateway-integration"]
        assert route["x-amazon-apigateway-integration"]["type"] == "aws_proxy"


def test_there_is_one_regional_api_with_one_stage(resources: dict[str, Any]) -> None:
    (api,) = of_type(resources, "AWS::ApiGateway::RestApi").values()
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    assert stage["StageName"] == "v1"
    assert stage["TracingEnabled"] is True
    assert stage["MethodSettings"] == [
        {
            "ResourcePath": "/*",
            "HttpMethod": "*",
            "MetricsEnabled": True,
            "ThrottlingRateLimit": 100,
            "ThrottlingBurstLimit": 200,
        }
    ]


def test_every_deployment_carries_the_policy_as_it_is_now() -> None:
    assert source("a")["Resources"]["OrdersApi"]["Properties"]["AlwaysDeploy"] is True


def test_the_resource_policy_denies_all_but_the_executors_sessions_and_grants_nothing(
    resources: dict[str, Any],
) -> None:
    assert resources["OrdersApi"]["Properties"]["Policy"] == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "DenyAllButExecutorSessions",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "execute-api:Invoke",
                "Resource": "execute-api:/*",
                "Condition": {"StringNotLike": {"aws:userid": "ExecutorRole.RoleId:*"}},
            }
        ],
    }


def test_the_executor_may_invoke_the_granted_methods_and_nothing_else(resources: dict[str, Any]) -> None:
    prefix = "arn:aws:execute-api:eu-west-1:111111111111:OrdersApi/v1/"
    policy = resources["ExecutorPolicy"]["Properties"]
    assert policy["Roles"] == ["ExecutorRole"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement == {
        "Sid": "InvokeGrantedRoutes",
        "Effect": "Allow",
        "Action": "execute-api:Invoke",
        "Resource": [
            f"{prefix}GET/whoami",
            f"{prefix}POST/orders",
            f"{prefix}GET/orders",
            f"{prefix}GET/orders/*",
        ],
    }
    assert not {"Policies", "ManagedPolicyArns"} & set(resources["ExecutorRole"]["Properties"])


def test_the_granted_methods_are_the_routes_without_delete(resources: dict[str, Any]) -> None:
    granted = resources["ExecutorPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]["Resource"]
    methods = {arn.split("/", 2)[2] for arn in granted}
    assert methods == {method + re.sub(r"\{.*?\}", "*", path) for method, path in GRANTED}


def trust(**parameters: Any) -> list[dict[str, Any]]:
    role = resolved("a", **parameters)["Resources"]["ExecutorRole"]["Properties"]
    assert role["MaxSessionDuration"] == 3600
    found: list[dict[str, Any]] = role["AssumeRolePolicyDocument"]["Statement"]
    return found


def test_workloads_need_the_external_id_and_a_session_name_that_is_bound_to_their_account() -> None:
    workloads, _ = trust(ConsumerAccountIds="222222222222,333333333333")
    assert workloads == {
        "Sid": "AssumeForWorkloads",
        "Effect": "Allow",
        "Principal": {"AWS": ["222222222222", "333333333333"]},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:PrincipalType": "AssumedRole", "sts:ExternalId": ["external-id"]},
            "StringLike": {"sts:RoleSessionName": ["${aws:PrincipalAccount}-*"]},
            "ArnLike": {"aws:PrincipalArn": ["arn:*:*::*:*"]},
        },
    }


def test_people_need_the_same_and_mfa() -> None:
    workloads, people = trust()
    assert people.pop("Sid") == "AssumeForPeople"
    assert workloads.pop("Sid") == "AssumeForWorkloads"
    assert people["Condition"].pop("Bool") == {"aws:MultiFactorAuthPresent": "true"}
    assert people["Condition"]["StringEquals"].pop("aws:PrincipalType") == "User"
    assert workloads["Condition"]["StringEquals"].pop("aws:PrincipalType") == "AssumedRole"
    assert people == workloads


def test_mfa_can_be_waived_and_changes_nothing_else() -> None:
    workloads, people = trust()
    waived = trust(RequireMfaForUsers="false")
    del people["Condition"]["Bool"]
    assert waived == [workloads, people]


def test_the_external_id_can_be_changed_without_an_interruption() -> None:
    for statement in trust(ExternalId="new-id", PreviousExternalId="old-id"):
        assert statement["Condition"]["StringEquals"]["sts:ExternalId"] == ["new-id", "old-id"]


def test_the_account_wide_logs_role_is_set_only_when_asked_for(resources: dict[str, Any]) -> None:
    assert not {"ApiGatewayLogsRole", "ApiGatewayAccount"} & set(resources)
    asked = resolved("a", SetApiGatewayLogsRole="true")["Resources"]
    assert asked["ApiGatewayAccount"]["Properties"] == {"CloudWatchRoleArn": "ApiGatewayLogsRole.Arn"}
    assert asked["AccessLogGroup"]["Metadata"]["CreatedAfter"] == "ApiGatewayAccount"
    for name in ("ApiGatewayLogsRole", "ApiGatewayAccount"):
        assert asked[name]["DeletionPolicy"] == "Retain"


def test_the_access_log_is_json_with_what_operators_ask_for(resources: dict[str, Any]) -> None:
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    assert stage["AccessLogSetting"]["DestinationArn"] == "AccessLogGroup.Arn"
    assert resources["AccessLogGroup"]["Properties"]["RetentionInDays"] == 30
    fields = json.loads(stage["AccessLogSetting"]["Format"])
    assert "\n" not in stage["AccessLogSetting"]["Format"]
    assert {
        "request_id": "$context.requestId",
        "caller_arn": "$context.identity.userArn",
        "session": "$context.identity.caller",
        "route": "$context.resourcePath",
        "status": "$context.status",
        "latency_ms": "$context.responseLatency",
        "integration_latency_ms": "$context.integration.latency",
        "error": "$context.error.message",
        "tls_version": "$context.tlsVersion",
    }.items() <= fields.items()


def test_only_this_api_may_invoke_the_backend(resources: dict[str, Any]) -> None:
    permissions = of_type(resources, "AWS::Lambda::Permission").values()
    assert {item["SourceArn"] for item in permissions} == {
        f"arn:aws:execute-api:eu-west-1:111111111111:OrdersApi/*/{method}{re.sub(r'{.*?}', '*', path)}"
        for method, path in ROUTES
    }
    for item in permissions:
        assert item["Principal"] == "apigateway.amazonaws.com"
        assert item["Action"] == "lambda:InvokeFunction"
        assert item["FunctionName"] == "OrdersFunction"


def test_the_backend_may_touch_its_own_tables_action_by_action(resources: dict[str, Any]) -> None:
    role = resources["OrdersFunctionRole"]["Properties"]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    granted = {item["Sid"]: (item["Action"], item["Resource"]) for item in policy["PolicyDocument"]["Statement"]}
    assert all(item["Effect"] == "Allow" for item in policy["PolicyDocument"]["Statement"])
    assert granted == {
        "WriteLogs": (["logs:CreateLogStream", "logs:PutLogEvents"], "OrdersLogGroup.Arn"),
        "WriteTraces": (["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
        "StoreOrders": (["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], "OrdersTable.Arn"),
        "ListOrders": ("dynamodb:Query", ["OrdersTable.Arn/index/ByCreation", "OrdersTable.Arn/index/ByStatus"]),
        "RecordIdempotencyKeys": (
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            "IdempotencyTable.Arn",
        ),
    }


@pytest.mark.parametrize("name", ["OrdersTable", "IdempotencyTable"])
def test_data_is_encrypted_recoverable_and_outlives_the_stack(resources: dict[str, Any], name: str) -> None:
    table = resources[name]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_idempotency_records_expire(resources: dict[str, Any]) -> None:
    ttl = resources["IdempotencyTable"]["Properties"]["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "expiration", "Enabled": True}


def test_the_backend_answers_before_the_api_gives_up(resources: dict[str, Any]) -> None:
    assert resources["OrdersFunction"]["Properties"]["Timeout"] < 29


def test_the_backend_is_given_its_tables_and_its_executor(resources: dict[str, Any]) -> None:
    variables = resources["OrdersFunction"]["Properties"]["Environment"]["Variables"]
    assert variables == {
        "ORDERS_TABLE": "OrdersTable",
        "IDEMPOTENCY_TABLE": "IdempotencyTable",
        "EXECUTOR_ROLE_IDS": "ExecutorRole.RoleId",
        "POWERTOOLS_SERVICE_NAME": "stack-a",
        "POWERTOOLS_METRICS_NAMESPACE": "CrossAccountApi",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


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
        ("StageName", "v1", True),
        ("StageName", "v1/*", False),
    ],
)
def test_parameters_are_checked_before_anything_is_deployed(parameter: str, value: str, accepted: bool) -> None:
    pattern = source("a")["Parameters"][parameter]["AllowedPattern"]
    # CloudFormation's patterns are Java's, where \w is ASCII.
    assert bool(re.fullmatch(pattern, value, re.ASCII)) is accepted
