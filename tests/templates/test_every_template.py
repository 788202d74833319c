"""Properties of all templates, and of those of the two accounts together."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import click
import pytest
from samcli.commands.build.command import cli as build_command
from samcli.commands.deploy.command import cli as deploy_command
from samcli.commands.validate.validate import cli as validate_command
from samcli.yamlhelper import yaml_dump, yaml_parse

from cross_account_access.templates import PROJECT, Side, resolved, source, transformed

SIDES: list[Side] = ["a", "b"]
TEMPLATES: list[Side] = [*SIDES, "access"]

# Properties that would fix a name that must be unique in an account, so that a stack could be deployed only once.
PHYSICAL_NAMES = {
    "AlarmName",
    "ApiName",
    "DashboardName",
    "FunctionName",
    "GroupName",
    "LogGroupName",
    "ManagedPolicyName",
    "QueueName",
    "RoleName",
    "TableName",
    "TopicName",
    "UserName",
}
NAMED_BY_REFERENCE = {
    # A reference to the schedule's group, and a dashboard's name, made of the stack's and the region.
    "AWS::CloudWatch::Dashboard",
    "AWS::Scheduler::Schedule",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::Logs::MetricFilter",
}


def statements(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Every policy statement anywhere in a resolved template."""
    found: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "Effect" in value:
                found.append(value)
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(template["Resources"])
    return found


@pytest.mark.parametrize("side", TEMPLATES)
def test_parameters_are_described_constrained_and_grouped(side: Side) -> None:
    template = source(side)
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    parameters = template["Parameters"]
    assert sorted(grouped) == sorted(parameters)
    assert sorted(interface["ParameterLabels"]) == sorted(parameters)
    constraints = {"AllowedPattern", "AllowedValues", "MinLength", "MinValue"}
    for name, parameter in parameters.items():
        assert parameter["Description"].endswith("."), name
        assert constraints & set(parameter), f"{name} takes any value"
        assert "AllowedPattern" not in parameter or "ConstraintDescription" in parameter, name


@pytest.mark.parametrize("side", TEMPLATES)
def test_every_default_meets_its_own_constraint(side: Side) -> None:
    for name, parameter in source(side)["Parameters"].items():
        if "Default" in parameter and "AllowedPattern" in parameter:
            assert re.fullmatch(parameter["AllowedPattern"], parameter["Default"]), name
        if "Default" in parameter and "AllowedValues" in parameter:
            assert parameter["Default"] in parameter["AllowedValues"], name


@pytest.mark.parametrize("side", TEMPLATES)
def test_every_output_is_described_and_exports_nothing(side: Side) -> None:
    for name, output in source(side)["Outputs"].items():
        assert output["Description"].endswith("."), name
        assert "Export" not in output, name


@pytest.mark.parametrize("side", TEMPLATES)
def test_no_physical_name_is_fixed(side: Side) -> None:
    for name, resource in resolved(side)["Resources"].items():
        fixed = PHYSICAL_NAMES & set(resource.get("Properties", {}))
        assert not fixed or resource["Type"] in NAMED_BY_REFERENCE, f"{name} fixes {fixed}"
    assert all(
        "Name" not in resource["Properties"]
        for resource in transformed(side)["Resources"].values()
        if resource["Type"] in {"AWS::Scheduler::Schedule", "AWS::ApiGateway::RestApi"}
    )


@pytest.mark.parametrize("side", TEMPLATES)
def test_only_tracing_is_allowed_on_any_resource(side: Side) -> None:
    for statement in statements(resolved(side)):
        if statement["Effect"] == "Allow" and statement.get("Resource") == "*":
            assert statement["Action"] == ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert statement["Effect"] == "Deny" or not any("*" in action for action in actions), statement


@pytest.mark.parametrize("side", TEMPLATES)
def test_every_statement_is_named_by_a_verb(side: Side) -> None:
    verbs = {
        "Assume",
        "Delete",
        "Deny",
        "Invoke",
        "Keep",
        "List",
        "Pass",
        "Read",
        "Receive",
        "Record",
        "Send",
        "Store",
        "Write",
    }
    for statement in statements(resolved(side)):
        words = re.findall("[A-Z][a-z]+", statement["Sid"])
        assert "".join(words) == statement["Sid"]
        assert words[0] in verbs, statement["Sid"]


@pytest.mark.parametrize("side", SIDES)
def test_functions_have_a_role_and_a_log_group_of_their_own(side: Side) -> None:
    resources = resolved(side)["Resources"]
    functions = {
        name: item["Properties"] for name, item in resources.items() if item["Type"] == "AWS::Lambda::Function"
    }
    assert functions
    for name, function in functions.items():
        assert function["Role"] == f"{name}Role.Arn"
        assert function["TracingConfig"] == {"Mode": "Active"}
        log_group = function["LoggingConfig"]["LogGroup"]
        assert resources[log_group]["Properties"]["RetentionInDays"] == 30
        writes = [
            statement["Resource"]
            for statement in resources[f"{name}Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
            if any(action.startswith("logs:") for action in statement["Action"])
        ]
        assert writes == [f"{log_group}.Arn"]


def test_outputs_of_account_a_are_parameters_of_account_b() -> None:
    outputs = source("a")["Outputs"]
    parameters = source("b")["Parameters"]
    assert {"ApiUrl", "ExecutorRoleArn", "ExternalId"} <= set(outputs) & set(parameters)
    for external_id in ("ab", "orders-7f3c/x", "a b", "a"):
        accepted = {
            bool(re.fullmatch(item["AllowedPattern"], external_id)) and len(external_id) >= item.get("MinLength", 0)
            for item in (source("a")["Parameters"]["ExternalId"], parameters["ExternalId"])
        }
        assert len(accepted) == 1, external_id


@pytest.mark.parametrize("side", TEMPLATES)
def test_every_role_takes_the_given_path_and_boundary(side: Side) -> None:
    given: dict[str, Any] = {
        "RolePath": "/team/",
        "PermissionsBoundaryArn": "arn:aws:iam::111111111111:policy/boundary",
    }
    if side == "a":
        given["SetApiGatewayLogsRole"] = "true"
    roles = [
        item["Properties"] for item in resolved(side, **given)["Resources"].values() if item["Type"] == "AWS::IAM::Role"
    ]
    assert len(roles) >= (1 if side == "access" else 2)
    assert {(role["Path"], role["PermissionsBoundary"]) for role in roles} == set(
        zip([given["RolePath"]], [given["PermissionsBoundaryArn"]], strict=True)
    )
    for item in resolved(side)["Resources"].values():
        assert "PermissionsBoundary" not in item.get("Properties", {})


@pytest.mark.parametrize("side", ["a", "access"])
def test_the_longest_external_ids_fit_into_a_trust_policy(side: Side) -> None:
    longest: dict[str, Any] = {
        name: "x" * source(side)["Parameters"][name]["MaxLength"] for name in ("ExternalId", "PreviousExternalId")
    }
    role = resolved(side, **longest, AllowIdentityCenterUsers="false")["Resources"]["ExecutorRole"]["Properties"]
    # IAM's default quota, in which white space does not count.
    assert len(json.dumps(role["AssumeRolePolicyDocument"], separators=(",", ":"))) <= 2048


@pytest.mark.parametrize("side", TEMPLATES)
def test_rules_use_only_functions_that_cloudformation_allows_in_them(side: Side) -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
    allowed = {"And", "Contains", "EachMemberEquals", "EachMemberIn", "Equals", "Not", "Or", "RefAll"}
    allowed |= {"ValueOf", "ValueOfAll"}
    used = set(re.findall(r'"Fn::(\w+)"', json.dumps(source(side).get("Rules", {}))))
    assert used <= allowed


def test_account_b_accepts_the_url_of_account_a() -> None:
    url = resolved("a")["Outputs"]["ApiUrl"]["Value"]
    assert re.fullmatch(source("b")["Parameters"]["ApiUrl"]["AllowedPattern"], url)


@pytest.mark.parametrize("side", SIDES)
def test_samconfig_holds_only_options_that_sam_knows(side: Side) -> None:
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())[f"account-{side}"]
    commands: dict[str, click.Command] = {
        "build": build_command,
        "deploy": deploy_command,
        "validate": validate_command,
    }
    assert set(config) == set(commands)
    for command, section in config.items():
        known = {parameter.name for parameter in commands[command].params}
        assert set(section["parameters"]) <= known, f"sam {command} silently ignores unknown options"


def test_samconfig_deploys_builds_and_separates_the_accounts() -> None:
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())
    for side in SIDES:
        build, deploy = (config[f"account-{side}"][command]["parameters"] for command in ("build", "deploy"))
        assert build["template_file"] == f"template-account-{side}.yaml"
        assert deploy["template_file"] == f"{build['build_dir']}/template.yaml"
        assert deploy["profile"] == f"account-{side}"
        # A named policy needs more than CAPABILITY_IAM, even where a condition leaves the name out.
        named = "ManagedPolicyName" in json.dumps(source(side))
        assert deploy["capabilities"] == ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"]
        assert deploy["on_failure"] == "DELETE", "a stack whose creation failed takes no other deployment"
    folders = {
        config[f"account-{side}"]["build"]["parameters"][key] for side in SIDES for key in ("build_dir", "cache_dir")
    }
    assert len(folders) == 4


@pytest.mark.parametrize("name", ["account-b", "deploy-role"])
def test_a_built_template_can_be_passed_inline(name: str) -> None:
    # CloudFormation takes 51,200 bytes in a request, which the documented commands rely on. SAM writes builds this way.
    built = yaml_dump(yaml_parse((PROJECT / f"template-{name}.yaml").read_text()))
    assert len(built.encode()) < 48_000
