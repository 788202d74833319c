"""What protects account A's API beyond its policies, all of it by parameters that are off unless given."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cross_account_access.model import load
from cross_account_access.templates import (
    FILES,
    PROJECT,
    Side,
    of_parameters,
    present,
    resolved,
    rules,
    source,
    transformed,
)

API = load().api
# One region or two of each partition, with the newest.
REGIONS = ("eu-west-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1", "ap-southeast-7")
DOMAIN: dict[str, Any] = {
    "DomainName": "orders.example.org",
    "CertificateArn": "arn:aws:acm:eu-west-1:111111111111:certificate/0a1b2c3d",
}
VPC: dict[str, Any] = {"SubnetIds": "subnet-0a1b2c3d,subnet-1a2b3c4d", "SecurityGroupIds": "sg-0a1b2c3d"}
PLAN: dict[str, Any] = {"RateLimit": "50", "BurstLimit": "100", "DailyQuota": "100000"}
OPTIONAL: dict[Side, set[str]] = {
    "a": {*DOMAIN, "HostedZoneId", "BasePath", "DisableDefaultEndpoint", "VpcEndpointIds", "WebAclArn"}
    | {*PLAN, "BackendConcurrency", "RequireApiKeys"},
    "b": {*VPC, "ApiKey"},
    "access": {*PLAN},
}


# --- An upgrade -----------------------------------------------------------------------------------------------------


def refers_to(value: Any, names: set[str]) -> bool:
    """Whether a part of a template refers to a parameter or a condition."""
    match value:
        case {"Ref": name} | {"Condition": str(name)}:
            return name in names
        case dict():
            return any(refers_to(item, names) for item in value.values())
        case list():
            return any(refers_to(item, names) for item in value)
    return False


def without(side: Side, parameters: set[str]) -> dict[str, Any]:
    """The template as it would be without some parameters: what depends on them is gone, or as if they were empty."""
    template = copy.deepcopy(source(side))
    conditions: set[str] = set()
    while more := {
        name
        for name, condition in template["Conditions"].items()
        if name not in conditions and refers_to(condition, parameters | conditions)
    }:
        conditions |= more
    for section in ("Parameters", "Conditions", "Rules", "Resources", "Outputs"):
        template[section] = {
            name: item
            for name, item in template.get(section, {}).items()
            if name not in parameters | conditions
            and item.get("Condition") not in conditions
            and not (section == "Rules" and refers_to(item, parameters))
        }

    nothing = object()

    def otherwise(value: Any) -> Any:
        match value:
            case {"Ref": str(name)} if name in parameters:
                return ""
            case {"Fn::If": [str(name), _, other]} if name in conditions:
                return nothing if other == {"Ref": "AWS::NoValue"} else otherwise(other)
            case dict():
                found = {key: otherwise(item) for key, item in value.items()}
                return {key: item for key, item in found.items() if item is not nothing}
            case list():
                return [item for item in map(otherwise, value) if item is not nothing]
        return value

    found: dict[str, Any] = otherwise(template)
    return found


def comparable(template: dict[str, Any]) -> Any:
    """A template without the id of the API's deployment, which every transform makes up."""
    return json.loads(re.sub(rf"{API}Deployment\w+|RestApi deployment id: \w+", "deployment", json.dumps(template)))


@pytest.mark.parametrize("side", OPTIONAL)
def test_an_upgrade_without_the_new_parameters_changes_nothing(side: Side, tmp_path: Path) -> None:
    earlier = without(side, OPTIONAL[side])
    assert not OPTIONAL[side] & set(re.findall(r"\w+", json.dumps(earlier["Resources"])))
    (tmp_path / FILES[side]).write_text(yaml.safe_dump(earlier))
    before, after = comparable(present(of_parameters(side, {}, folder=tmp_path))), comparable(resolved(side))
    if side == "a":
        # SAM writes the switch into the definition, off or on; off is what an API without it has.
        for template in (before, after):
            [servers] = template["Resources"][API]["Properties"]["Body"].pop("servers")
            assert servers == {"x-amazon-apigateway-endpoint-configuration": {"disableExecuteApiEndpoint": False}}
    assert after == before


@pytest.mark.parametrize("side", OPTIONAL)
def test_every_option_is_off_by_default(side: Side) -> None:
    parameters = source(side)["Parameters"]
    # A burst means nothing without a rate.
    assert {parameters[name]["Default"] for name in OPTIONAL[side] - {"BurstLimit"}} <= {"", "false"}


def lint(template: str, folder: Path) -> str:
    """What cfn-lint says about a template in all partitions."""
    (folder / "template").write_text(template)
    program = Path(sys.executable).with_name("cfn-lint")
    command: list[str | Path] = [program, "--regions", *REGIONS, "--template", folder / "template"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=600)
    return done.stdout


@pytest.mark.parametrize(("side", "keys"), [("a", ""), ("a", "true"), ("b", ""), ("access", "")])
def test_cfn_lint_finds_nothing_in_any_partition(side: Side, keys: str, tmp_path: Path) -> None:
    assert lint(json.dumps(transformed(side, require_api_keys=keys)), tmp_path) == ""


@pytest.mark.parametrize(
    ("side", "given", "accepted"),
    [
        ("a", DOMAIN, True),
        ("a", {**DOMAIN, "HostedZoneId": "Z1", "BasePath": "shop", "DisableDefaultEndpoint": "true"}, True),
        ("a", {"DomainName": "orders.example.org"}, False),
        ("a", {"CertificateArn": DOMAIN["CertificateArn"]}, False),
        ("a", {"HostedZoneId": "Z1"}, False),
        ("a", {"BasePath": "shop"}, False),
        # It would leave the API without any address.
        ("a", {"DisableDefaultEndpoint": "true"}, False),
        ("a", {"VpcEndpointIds": "vpce-0a1b2c3d"}, True),
        ("a", {**DOMAIN, "VpcEndpointIds": "vpce-0a1b2c3d"}, False),
        ("a", PLAN, True),
        ("a", {**PLAN, "DailyQuota": "", "RequireApiKeys": "true"}, True),
        ("a", {"RateLimit": "50"}, True),
        ("a", {"DailyQuota": "1000"}, False),
        # Nobody in ConsumerAccountIds would have a key.
        ("a", {"RequireApiKeys": "true"}, False),
        ("access", PLAN, True),
        ("access", {"DailyQuota": "1000"}, False),
        ("b", VPC, True),
        ("b", {"SubnetIds": "subnet-0a1b2c3d"}, False),
        ("b", {"SecurityGroupIds": "sg-0a1b2c3d"}, False),
    ],
)
def test_parameters_are_checked_together(side: Side, given: dict[str, Any], accepted: bool) -> None:
    assert all(rules(side, **given).values()) is accepted


@pytest.mark.parametrize(
    ("side", "parameter", "value", "accepted"),
    [
        ("a", "DomainName", "orders.example.org", True),
        ("a", "DomainName", "Orders.example.org", False),
        ("a", "DomainName", "https://orders.example.org", False),
        ("a", "DomainName", "orders", False),
        ("a", "DomainName", "*.example.org", False),
        ("a", "BasePath", "shop", True),
        ("a", "BasePath", "/shop", False),
        ("a", "BasePath", "shop/v1", False),
        ("a", "HostedZoneId", "/hostedzone/Z1", False),
        ("a", "CertificateArn", "arn:aws-cn:acm:cn-north-1:111111111111:certificate/0a1b2c3d-e4f5", True),
        ("a", "CertificateArn", "arn:aws:iam::111111111111:server-certificate/x", False),
        ("a", "VpcEndpointIds", "vpce-0123456789abcdef0", True),
        ("a", "VpcEndpointIds", "vpce-*", False),
        ("a", "VpcEndpointIds", "vpc-0a1b2c3d", False),
        ("a", "WebAclArn", "arn:aws:wafv2:eu-west-1:111111111111:regional/webacl/shield/0a1b2c3d-4e5f", True),
        ("a", "WebAclArn", "arn:aws:wafv2:us-east-1:111111111111:global/webacl/shield/0a1b2c3d-4e5f", False),
        ("a", "RateLimit", "0", False),
        ("a", "BackendConcurrency", "0", False),
        ("b", "ApiKey", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0", True),
        ("b", "ApiKey", "key with spaces in its middle", False),
        ("b", "SubnetIds", "subnet-0123456789abcdef0", True),
        ("b", "SubnetIds", "subnet", False),
        ("b", "SecurityGroupIds", "default", False),
    ],
)
def test_a_parameter_is_checked_before_anything_is_deployed(
    side: Side, parameter: str, value: str, accepted: bool
) -> None:
    pattern = source(side)["Parameters"][parameter]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value, re.ASCII)) is accepted


# --- A stable address -------------------------------------------------------------------------------------------------


def test_a_domain_leads_to_the_stage_with_the_apis_own_tls() -> None:
    found = resolved("a", **DOMAIN, HostedZoneId="Z0123456789", BasePath="shop")["Resources"]
    api, domain = found[API]["Properties"], found["ApiDomainName"]["Properties"]
    assert domain["DomainName"] == "orders.example.org"
    assert domain["RegionalCertificateArn"] == DOMAIN["CertificateArn"]
    for name in ("SecurityPolicy", "EndpointAccessMode", "EndpointConfiguration"):
        assert domain[name] == api[name], name
    (stage,) = (name for name, item in found.items() if item["Type"] == "AWS::ApiGateway::Stage")
    assert found["ApiMapping"]["Properties"] == {
        "DomainName": "ApiDomainName",
        "BasePath": "shop",
        "RestApiId": API,
        "Stage": stage,
    }
    records = [item["Properties"] for item in found.values() if item["Type"] == "AWS::Route53::RecordSet"]
    assert sorted(record["Type"] for record in records) == ["A", "AAAA"], "as the API, which has both addresses"
    for record in records:
        assert (record["HostedZoneId"], record["Name"]) == ("Z0123456789", "orders.example.org")
        assert record["AliasTarget"] == {
            "DNSName": "ApiDomainName.RegionalDomainName",
            "HostedZoneId": "ApiDomainName.RegionalHostedZoneId",
        }


def test_a_domain_needs_neither_base_path_nor_hosted_zone() -> None:
    found = resolved("a", **DOMAIN)["Resources"]
    assert "BasePath" not in found["ApiMapping"]["Properties"], "an empty base path is not the root"
    assert not [item for item in found.values() if item["Type"] == "AWS::Route53::RecordSet"]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, f"https://{API}.execute-api.eu-west-1.amazonaws.com/v1"),
        (DOMAIN, "https://orders.example.org"),
        ({**DOMAIN, "BasePath": "shop"}, "https://orders.example.org/shop"),
    ],
)
def test_the_url_for_consumers_is_the_stable_one(given: dict[str, Any], url: str) -> None:
    outputs = {name: output["Value"] for name, output in resolved("a", **given)["Outputs"].items()}
    assert outputs["ApiUrl"] == url
    assert re.fullmatch(source("b")["Parameters"]["ApiUrl"]["AllowedPattern"], url.lower())
    # The name no longer tells the region, so account B is told.
    assert outputs.get("ApiRegion") == ("eu-west-1" if given else None)
    assert "ApiRegion" in source("b")["Parameters"]


@pytest.mark.parametrize("disabled", ["true", "false"])
def test_the_default_address_is_refused_only_when_asked(disabled: str) -> None:
    api = resolved("a", **DOMAIN, DisableDefaultEndpoint=disabled)["Resources"][API]["Properties"]
    [server] = api["Body"]["servers"]
    assert server["x-amazon-apigateway-endpoint-configuration"] == {"disableExecuteApiEndpoint": disabled == "true"}


# --- A private API ----------------------------------------------------------------------------------------------------


def test_a_private_api_refuses_whatever_comes_from_elsewhere() -> None:
    api = resolved("a", VpcEndpointIds="vpce-0a1b2c3d,vpce-1a2b3c4d")["Resources"][API]["Properties"]
    assert api["EndpointConfiguration"] == {
        "Types": ["PRIVATE"],
        "IpAddressType": "dualstack",
        "VpcEndpointIds": ["vpce-0a1b2c3d", "vpce-1a2b3c4d"],
    }
    guard, outside = api["Policy"]["Statement"]
    assert guard == resolved("a")["Resources"][API]["Properties"]["Policy"]["Statement"][0]
    assert outside == {
        "Sid": "DenyOutsideEndpoints",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "execute-api:Invoke",
        "Resource": "execute-api:/*",
        # With this operator, a request without the key is refused, too.
        "Condition": {"StringNotEquals": {"aws:SourceVpce": ["vpce-0a1b2c3d", "vpce-1a2b3c4d"]}},
    }


def test_the_key_of_endpoints_is_for_private_apis_only() -> None:
    # A public API's requests lack it, so the Deny would refuse everybody.
    assert "SourceVpce" not in json.dumps(resolved("a"))


def test_the_caller_in_a_vpc_may_use_network_interfaces_but_its_code_may_not() -> None:
    found = resolved("b", **VPC)["Resources"]
    assert found["CallerFunction"]["Properties"]["VpcConfig"] == {
        "SubnetIds": ["subnet-0a1b2c3d", "subnet-1a2b3c4d"],
        "SecurityGroupIds": ["sg-0a1b2c3d"],
    }
    policy = found["CallerNetworkPolicy"]["Properties"]
    assert policy["Roles"] == ["CallerFunctionRole"]
    allow, deny = policy["PolicyDocument"]["Statement"]
    # AWSLambdaVPCAccessExecutionRole without what it says about logs.
    assert (
        allow["Action"]
        == deny["Action"]
        == [
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
        ]
    )
    assert (allow["Effect"], deny["Effect"], deny["Resource"]) == ("Allow", "Deny", "*")
    assert deny["Condition"] == {
        "ArnLike": {"lambda:SourceFunctionArn": "arn:aws:lambda:eu-west-1:222222222222:function:*"}
    }


def test_the_right_to_network_interfaces_outlives_them() -> None:
    # It exists before the function and, a resource of its own, is deleted after it; in the role it would go first.
    found = resolved("b", **VPC)["Resources"]
    assert found["CallerFunction"]["Metadata"]["CreatedAfter"] == "CallerNetworkPolicy"
    assert found["CallerFunctionRole"] == resolved("b")["Resources"]["CallerFunctionRole"]


# --- A shield -------------------------------------------------------------------------------------------------------


def test_a_web_acl_stands_before_the_stage() -> None:
    acl = "arn:aws:wafv2:eu-west-1:111111111111:regional/webacl/shield/0a1b2c3d"
    found = resolved("a", WebAclArn=acl)["Resources"]
    (stage,) = (name for name, item in found.items() if item["Type"] == "AWS::ApiGateway::Stage")
    assert found["WebAclAssociation"]["Properties"] == {
        "WebACLArn": acl,
        "ResourceArn": f"arn:aws:apigateway:eu-west-1::/restapis/{API}/stages/{stage}",
    }


def test_the_example_of_a_web_acl_is_a_template(tmp_path: Path) -> None:
    page = (PROJECT / "docs/growth.md").read_text()
    (example,) = re.findall(r"<!-- web-acl -->\n```yaml\n(.*?)```", page, re.DOTALL)
    assert lint(example, tmp_path) == ""
    assert "E3012" in lint(example.replace("Limit: 30000", "Limit: many"), tmp_path)


# --- A fair share ---------------------------------------------------------------------------------------------------


def security(**parameters: Any) -> list[Any]:
    """What each route of the API asks for."""
    body = resolved("a", **parameters)["Resources"][API]["Properties"]["Body"]
    return [item["security"] for methods in body["paths"].values() for item in methods.values()]


def test_a_key_is_asked_for_besides_the_signature_and_never_instead() -> None:
    assert {json.dumps(item) for item in security()} == {'[{"AWS_IAM": []}]'}
    # API Gateway takes both: the scheme api_key sets a method's apiKeyRequired, and leaves its authorizer alone.
    assert {json.dumps(item) for item in security(RequireApiKeys="true", **PLAN)} == {
        '[{"AWS_IAM": []}, {"api_key": []}]'
    }
    body = resolved("a", RequireApiKeys="true", **PLAN)["Resources"][API]["Properties"]["Body"]
    assert body["components"]["securitySchemes"]["api_key"] == {"type": "apiKey", "name": "x-api-key", "in": "header"}


def test_sam_takes_any_text_for_yes_so_only_true_is_allowed() -> None:
    assert source("a")["Parameters"]["RequireApiKeys"]["AllowedValues"] == ["", "true"]
    assert security(RequireApiKeys="false") == security(RequireApiKeys="true"), "as it would be if it were allowed"


@pytest.mark.parametrize("side", ["a", "access"])
def test_a_plan_meters_the_consumers_of_its_stack(side: Side) -> None:
    found = resolved(side, **PLAN)["Resources"]
    plan = found["UsagePlan"]["Properties"]
    assert plan["Throttle"] == {"RateLimit": "50", "BurstLimit": "100"}
    assert plan["Quota"] == {"Limit": "100000", "Period": "DAY"}
    (stage,) = [name for name, item in found.items() if item["Type"] == "AWS::ApiGateway::Stage"] or ["prod"]
    # An access stack reads API and stage from what it grants.
    assert plan["ApiStages"] == [{"ApiId": API if side == "a" else "e5d4c3b2a1", "Stage": stage}]
    assert found["UsagePlanKey"]["Properties"] == {"UsagePlanId": "UsagePlan", "KeyId": "ApiKey", "KeyType": "API_KEY"}
    assert found["ApiKey"]["Properties"]["Enabled"] is True
    assert resolved(side, **PLAN)["Outputs"]["ApiKeyId"]["Value"] == "ApiKey"
    assert "Quota" not in resolved(side, **PLAN | {"DailyQuota": ""})["Resources"]["UsagePlan"]["Properties"]


def test_a_key_can_be_handed_out_before_it_is_required() -> None:
    assert security(**PLAN) == security()
    # A key's value and name cannot be changed, and requiring it changes neither.
    assert (
        resolved("a", **PLAN)["Resources"]["ApiKey"]
        == resolved("a", **PLAN, RequireApiKeys="true")["Resources"]["ApiKey"]
    )


def test_the_caller_gets_the_key_only_if_there_is_one() -> None:
    def variables(**parameters: Any) -> dict[str, Any]:
        found = resolved("b", **parameters)["Resources"]["CallerFunction"]["Properties"]["Environment"]["Variables"]
        return dict(found)

    key = "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8s9t0"
    assert "API_KEY" not in variables()
    assert variables(ApiKey=key)["API_KEY"] == key
    assert source("b")["Parameters"]["ApiKey"]["NoEcho"] is True


def test_the_backends_concurrency_is_reserved_only_if_asked_for() -> None:
    def reserved(**parameters: Any) -> set[str | None]:
        found = resolved("a", **parameters)["Resources"]
        backends = {route.function for route in load().routes}
        return {found[name]["Properties"].get("ReservedConcurrentExecutions") for name in backends}

    assert reserved() == {None}
    assert "20" in reserved(BackendConcurrency="20")
