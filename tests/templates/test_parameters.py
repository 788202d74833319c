"""What each template asks for: described, checked before anything is deployed, and called the same everywhere."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cross_account_access.templates import Side, rules
from cross_account_caller.settings import Settings
from tests.templates.stacks import (
    DOMAIN,
    ORGANIZATION,
    PLAN,
    TEMPLATES,
    VPC,
    accepts,
    properties,
    variables,
    written,
)

EVERY = [*TEMPLATES, "deploy-role"]
METHODS = "arn:aws:execute-api:eu-west-1:111111111111:a1b2c3d4e5/v1/"


@pytest.mark.parametrize("name", EVERY)
def test_parameters_are_described_constrained_and_grouped(name: str) -> None:
    interface, parameters = written(name)["Metadata"]["AWS::CloudFormation::Interface"], written(name)["Parameters"]
    grouped = [parameter for group in interface["ParameterGroups"] for parameter in group["Parameters"]]
    assert sorted(grouped) == sorted(interface["ParameterLabels"]) == sorted(parameters)
    constraints = {"AllowedPattern", "AllowedValues", "MinLength", "MinValue"}
    for parameter, item in parameters.items():
        assert item["Description"].endswith("."), parameter
        assert constraints & set(item), f"{parameter} takes any value"
        assert "AllowedPattern" not in item or "ConstraintDescription" in item, parameter
        if "Default" in item:
            assert "AllowedPattern" not in item or accepts(name, parameter, item["Default"]), parameter
            assert item["Default"] in item.get("AllowedValues", [item["Default"]]), parameter


CHECKED = yaml.safe_load((Path(__file__).parent / "parameters.yaml").read_text())


@pytest.mark.parametrize(("name", "parameter"), [(name, parameter) for name in CHECKED for parameter in CHECKED[name]])
def test_a_parameter_is_checked_before_anything_is_deployed(name: str, parameter: str) -> None:
    values = CHECKED[name][parameter]
    assert [value for value in values["accepted"] if not accepts(name, parameter, value)] == []
    assert [value for value in values["refused"] if accepts(name, parameter, value)] == []


ONE_METHOD = {"ExecutorRoleArn": "", "ExternalId": "", "GrantedMethodArns": f"{METHODS}GET/whoami"}


@pytest.mark.parametrize(
    ("side", "given", "broken"),
    [
        ("a", DOMAIN, ""),
        ("a", {**DOMAIN, "HostedZoneId": "Z1", "BasePath": "shop", "DisableDefaultEndpoint": "true"}, ""),
        ("a", {"DomainName": "orders.example.org"}, "DomainNameWithCertificate"),
        ("a", {"CertificateArn": DOMAIN["CertificateArn"]}, "DomainNameWithCertificate"),
        ("a", {"HostedZoneId": "Z1"}, "NothingWithoutDomainName"),
        ("a", {"BasePath": "shop"}, "NothingWithoutDomainName"),
        # It would leave the API without any address.
        ("a", {"DisableDefaultEndpoint": "true"}, "NothingWithoutDomainName"),
        ("a", {"VpcEndpointIds": "vpce-0a1b2c3d"}, ""),
        ("a", {**DOMAIN, "VpcEndpointIds": "vpce-0a1b2c3d"}, "NoDomainNameForPrivateApi"),
        ("a", PLAN, ""),
        ("a", {**PLAN, "DailyQuota": "", "RequireApiKeys": "true"}, ""),
        ("a", {"RateLimit": "50"}, ""),
        ("a", {"DailyQuota": "1000"}, "QuotaWithRate"),
        # Nobody in ConsumerAccountIds would have a key.
        ("a", {"RequireApiKeys": "true"}, "KeyForOwnConsumers"),
        ("b", {}, ""),
        ("b", {"CallMethod": "POST", "CallBody": '{"sku": "A-1"}'}, ""),
        ("b", {"CallMethod": "GET", "CallBody": '"{}"'}, "NoBodyWithGetAndHead"),
        ("b", {"CallMethod": "HEAD", "CallBody": "{}"}, "NoBodyWithGetAndHead"),
        ("b", ONE_METHOD, ""),
        ("b", {"ExecutorRoleArn": "", "ExternalId": ""}, "RoleOrMethods"),
        ("b", {"ExternalId": ""}, "RoleOrMethods"),
        ("b", VPC, ""),
        ("b", {"SubnetIds": "subnet-0a1b2c3d"}, "SubnetsWithSecurityGroups"),
        ("b", {"SecurityGroupIds": "sg-0a1b2c3d"}, "SubnetsWithSecurityGroups"),
        ("access", {}, ""),
        ("access", PLAN, ""),
        ("access", {"DailyQuota": "1000"}, "QuotaWithRate"),
        ("access", ORGANIZATION, ""),
        ("access", {**ORGANIZATION, "ConsumerOrganizationPaths": "o-a1b2c3d4e5/r-ab12/*"}, ""),
        ("access", {"ConsumerSessionName": "222222222222-*"}, ""),
        ("access", {"ConsumerAccountIds": ""}, "AccountsOrOrganization"),
        ("access", {"ConsumerOrganizationId": "o-a1b2c3d4e5"}, "AccountsOrOrganization"),
        ("access", {"ConsumerOrganizationPaths": "o-a1b2c3d4e5/r-ab12/*"}, "PathsOfOrganization"),
        ("access", {**ORGANIZATION, "ConsumerSessionName": "222222222222-*"}, "BoundSessionNameInOrganization"),
        (
            "access",
            {**ORGANIZATION, "ConsumerSessionName": "${aws:PrincipalAccount}-*,222222222222-*"},
            "BoundSessionNameInOrganization",
        ),
    ],
)
def test_parameters_are_checked_together(side: Side, given: dict[str, Any], broken: str) -> None:
    assert [name for name, kept in rules(side, **given).items() if not kept] == ([broken] if broken else [])


@pytest.mark.parametrize("name", EVERY)
def test_rules_use_only_functions_that_cloudformation_allows_in_them(name: str) -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
    allowed = {"And", "Contains", "EachMemberEquals", "EachMemberIn", "Equals", "Not", "Or", "RefAll"}
    allowed |= {"ValueOf", "ValueOfAll"}
    used = set(re.findall(r'"Fn::(\w+)"', json.dumps(written(name).get("Rules", {}))))
    assert used <= allowed


@pytest.mark.parametrize("side", ["a", "access"])
def test_the_longest_external_ids_fit_into_a_trust_policy(side: Side) -> None:
    limits = written(side)["Parameters"]
    longest: dict[str, Any] = {name: "x" * limits[name]["MaxLength"] for name in ("ExternalId", "PreviousExternalId")}
    role = properties("ExecutorRole", side, **longest, AllowIdentityCenterUsers="false")
    # IAM's default quota, in which white space does not count.
    assert len(json.dumps(role["AssumeRolePolicyDocument"], separators=(",", ":"))) <= 2048


# --- One noun, four casings: output and parameter (ApiUrl), variable (API_URL), setting (api_url) ---------------------


def test_outputs_are_parameters_of_the_other_side_and_settings_of_the_caller() -> None:
    taken, key = written("b")["Parameters"], {"ApiKey": "k" * 20}
    shared = set(written("a")["Outputs"]) & set(taken)
    assert shared == {"ApiRegion", "ApiUrl", "ExecutorRoleArn", "ExternalId"}
    assert {"ExecutorRoleArn", "ExternalId"} <= set(written("access")["Outputs"])
    given = variables("CallerFunction", "b", **key)
    assert {re.sub("(?<!^)(?=[A-Z])", "_", name).upper() for name in shared} <= set(given)
    assert {name.lower() for name in given} == {item.name for item in dataclasses.fields(Settings)}

    texts = {name: str(value) for name, value in given.items()}
    settings = Settings.from_environment({**texts, "AWS_REGION": "eu-west-1"})
    assert settings.api_url == "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1"
    assert settings.session_name == "222222222222-eu-west-1-stack-b"


@pytest.mark.parametrize("external_id", ["ab", "orders-7f3c/x", "a b", "a"])
def test_an_external_id_is_the_same_on_every_side(external_id: str) -> None:
    limits = {side: written(side)["Parameters"]["ExternalId"] for side in TEMPLATES}
    accepted = {
        accepts(side, "ExternalId", external_id) and len(external_id) >= item.get("MinLength", 0)
        for side, item in limits.items()
    }
    assert len(accepted) == 1
