"""Properties of all templates, and how samconfig.toml deploys them."""

import json
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from cross_account_access.templates import PROJECT, Side, transformed
from tests.templates.stacks import SIDES, TEMPLATES, of_type, properties, resources, schema, written

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
CONFIG = tomllib.loads((PROJECT / "samconfig.toml").read_text())


@pytest.mark.parametrize("side", TEMPLATES)
def test_no_physical_name_is_fixed(side: Side) -> None:
    for name, resource in resources(side).items():
        fixed = PHYSICAL_NAMES & set(resource.get("Properties", {}))
        assert not fixed or resource["Type"] in NAMED_BY_REFERENCE, f"{name} fixes {fixed}"
    for resource in transformed(side)["Resources"].values():
        if resource["Type"] in {"AWS::Scheduler::Schedule", "AWS::ApiGateway::RestApi"}:
            assert "Name" not in resource["Properties"]


@pytest.mark.parametrize("side", SIDES)
def test_functions_have_a_role_and_a_log_group_of_their_own(side: Side) -> None:
    functions = of_type("AWS::Lambda::Function", side)
    assert functions
    for name, function in functions.items():
        assert function["Role"] == f"{name}Role.Arn"
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert properties(function["LoggingConfig"]["LogGroup"], side)["RetentionInDays"] == 30


@pytest.mark.parametrize("side", TEMPLATES)
def test_every_role_takes_the_given_path_and_boundary(side: Side) -> None:
    given: dict[str, Any] = {
        "RolePath": "/team/",
        "PermissionsBoundaryArn": "arn:aws:iam::111111111111:policy/boundary",
    }
    every = {"SetApiGatewayLogsRole": "true"} if side == "a" else {}
    roles = of_type("AWS::IAM::Role", side, **given, **every).values()
    assert {(role["Path"], role["PermissionsBoundary"]) for role in roles} == {tuple(given.values())}
    assert not any("PermissionsBoundary" in role for role in of_type("AWS::IAM::Role", side, **every).values())


def fixed(item: dict[str, Any]) -> dict[str, Any]:
    """What CloudFormation cannot change without replacing the resource, according to its registry."""
    found = schema(item["Type"])
    paths = (*found.get("createOnlyProperties", ()), *found.get("conditionalCreateOnlyProperties", ()))
    properties = {path.split("/")[2] for path in paths} & item.get("Properties", {}).keys()
    return {"Type": item["Type"], **{name: item["Properties"][name] for name in properties}}


@pytest.mark.parametrize("side", TEMPLATES)
def test_stacks_of_version_2_are_updated_without_a_loss_or_a_replacement(side: Side) -> None:
    found = {name: fixed(item) for name, item in resources(side).items()}
    before = yaml.safe_load((Path(__file__).parent / "version-2.0.0.yaml").read_text())[side]
    assert before == {name: found.get(name) for name in before}


# --- samconfig.toml ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "commands"),
    [
        ("account-a", {"build", "deploy", "validate"}),
        ("account-b", {"build", "deploy", "validate"}),
        ("access", {"deploy", "validate"}),  # There is nothing to build.
    ],
)
def test_samconfig_holds_only_options_that_sam_knows(environment: str, commands: set[str]) -> None:
    assert set(CONFIG[environment]) == commands
    for command, section in CONFIG[environment].items():
        # They take a second to import.
        module = f"samcli.commands.{command}.{'validate' if command == 'validate' else 'command'}"
        known = {parameter.name for parameter in import_module(module).cli.params}
        assert set(section["parameters"]) <= known, f"sam {command} silently ignores unknown options"


def test_samconfig_deploys_what_it_built_and_separates_the_accounts() -> None:
    for side in TEMPLATES:
        environment = "access" if side == "access" else f"account-{side}"
        deploy = CONFIG[environment]["deploy"]["parameters"]
        build = CONFIG[environment].get("build", {}).get("parameters")
        assert deploy["template_file"] == (f"{build['build_dir']}/template.yaml" if build else "template-access.yaml")
        assert deploy["profile"] == ("account-b" if side == "b" else "account-a")
        # A named policy needs more than CAPABILITY_IAM, even where a condition leaves the name out.
        named = "ManagedPolicyName" in json.dumps(written(side))
        assert deploy["capabilities"] == ["CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"]
        assert deploy["on_failure"] == "DELETE", "a stack whose creation failed takes no other deployment"
    builds = [CONFIG[f"account-{side}"]["build"]["parameters"] for side in SIDES]
    assert len({build["build_dir"] for build in builds}) == 2
