"""What protects account A's API beyond its policies, all of it by parameters that are off unless given."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cross_account_access.model import load
from cross_account_access.templates import PROJECT, Side, resolved, transformed
from tests.templates.stacks import DOMAIN, PLAN, TEMPLATES, VPC, accepts, of_type, properties, resources, written

API = load().api
# One region or two of each partition, with the newest.
REGIONS = ("eu-west-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1", "ap-southeast-7")
ACL = "arn:aws:wafv2:eu-west-1:111111111111:regional/webacl/shield/0a1b2c3d"
# Each option with the resources that it adds; what it writes into others appears nowhere without it.
OPTIONS: list[tuple[Side, dict[str, Any], set[str], str]] = [
    ("a", {**DOMAIN, "HostedZoneId": "Z1"}, {"ApiDomainName", "ApiMapping", "DomainRecord", "DomainRecordIpv6"}, ""),
    ("a", {"VpcEndpointIds": "vpce-0a1b2c3d"}, set(), "SourceVpce"),
    ("a", {"WebAclArn": ACL}, {"WebAclAssociation"}, ""),
    ("a", {**PLAN, "RequireApiKeys": "true"}, {"ApiKey", "UsagePlan", "UsagePlanKey"}, "api_key"),
    ("a", {"BackendConcurrency": "20"}, set(), "ReservedConcurrentExecutions"),
    ("access", PLAN, {"ApiKey", "UsagePlan", "UsagePlanKey"}, ""),
    ("b", VPC, {"CallerNetworkPolicy"}, "VpcConfig"),
    ("b", {"ApiKey": "a1b2c3d4e5f6g7h8i9j0"}, set(), "API_KEY"),
]


@pytest.mark.parametrize(("side", "given", "added", "written_into_others"), OPTIONS)
def test_every_option_is_off_by_default(
    side: Side, given: dict[str, Any], added: set[str], written_into_others: str
) -> None:
    defaults = {written(side)["Parameters"][name]["Default"] for name in given if name != "BurstLimit"}
    assert defaults <= {"", "false"}
    without, asked = resources(side), resources(side, **given)
    assert asked.keys() - without.keys() == added
    assert without.keys() <= asked.keys()
    if written_into_others:
        assert written_into_others not in json.dumps(without)
        assert written_into_others in json.dumps(asked)


@pytest.mark.slow
def test_cfn_lint_finds_nothing_in_any_partition(tmp_path: Path) -> None:
    for side in TEMPLATES:
        template = transformed(side, require_api_keys="true" if side == "a" else "")
        (tmp_path / side).write_text(json.dumps(template))
    example = PROJECT / "docs/policies/web-acl.yaml"
    lint: list[str | Path] = [Path(sys.executable).with_name("cfn-lint"), "--regions", *REGIONS, "--template", example]
    done = subprocess.run([*lint, *tmp_path.iterdir()], stdout=subprocess.PIPE, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout) == (0, "")


# --- A stable address -------------------------------------------------------------------------------------------------


def test_a_domain_leads_to_the_stage_with_the_apis_own_tls() -> None:
    given = {**DOMAIN, "HostedZoneId": "Z0123456789", "BasePath": "shop"}
    api, domain = (properties(name, "a", **given) for name in (API, "ApiDomainName"))
    assert domain["DomainName"] == "orders.example.org"
    assert domain["RegionalCertificateArn"] == DOMAIN["CertificateArn"]
    for name in ("SecurityPolicy", "EndpointAccessMode", "EndpointConfiguration"):
        assert domain[name] == api[name], name
    (stage,) = of_type("AWS::ApiGateway::Stage", "a")
    assert properties("ApiMapping", "a", **given) == {
        "DomainName": "ApiDomainName",
        "BasePath": "shop",
        "RestApiId": API,
        "Stage": stage,
    }
    records = of_type("AWS::Route53::RecordSet", "a", **given).values()
    assert sorted(record["Type"] for record in records) == ["A", "AAAA"], "as the API, which has both addresses"
    for record in records:
        assert (record["HostedZoneId"], record["Name"]) == ("Z0123456789", "orders.example.org")
        assert record["AliasTarget"] == {
            "DNSName": "ApiDomainName.RegionalDomainName",
            "HostedZoneId": "ApiDomainName.RegionalHostedZoneId",
        }


def test_a_domain_needs_neither_base_path_nor_hosted_zone() -> None:
    assert "BasePath" not in properties("ApiMapping", "a", **DOMAIN), "an empty base path is not the root"
    assert of_type("AWS::Route53::RecordSet", "a", **DOMAIN) == {}


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
    assert accepts("b", "ApiUrl", url.lower())
    # The name no longer tells the region, so account B is told.
    assert outputs.get("ApiRegion") == ("eu-west-1" if given else None)


@pytest.mark.parametrize("disabled", ["true", "false"])
def test_the_default_address_is_refused_only_when_asked(disabled: str) -> None:
    [server] = properties(API, "a", **DOMAIN, DisableDefaultEndpoint=disabled)["Body"]["servers"]
    assert server["x-amazon-apigateway-endpoint-configuration"] == {"disableExecuteApiEndpoint": disabled == "true"}


# --- A shield ---------------------------------------------------------------------------------------------------------


def test_a_web_acl_stands_before_the_stage() -> None:
    (stage,) = of_type("AWS::ApiGateway::Stage", "a")
    assert properties("WebAclAssociation", "a", WebAclArn=ACL) == {
        "WebACLArn": ACL,
        "ResourceArn": f"arn:aws:apigateway:eu-west-1::/restapis/{API}/stages/{stage}",
    }


# --- A fair share -----------------------------------------------------------------------------------------------------


def test_keys_are_required_by_true_only() -> None:
    # SAM takes any text for yes, "false" included.
    assert written("a")["Parameters"]["RequireApiKeys"]["AllowedValues"] == ["", "true"]


@pytest.mark.parametrize("side", ["a", "access"])
def test_a_plan_meters_the_consumers_of_its_stack(side: Side) -> None:
    plan = properties("UsagePlan", side, **PLAN)
    assert plan["Throttle"] == {"RateLimit": "50", "BurstLimit": "100"}
    assert plan["Quota"] == {"Limit": "100000", "Period": "DAY"}
    (stage,) = of_type("AWS::ApiGateway::Stage", side) or ["prod"]
    # An access stack reads API and stage from what it grants.
    assert plan["ApiStages"] == [{"ApiId": API if side == "a" else "e5d4c3b2a1", "Stage": stage}]
    key = properties("UsagePlanKey", side, **PLAN)
    assert key == {"UsagePlanId": "UsagePlan", "KeyId": "ApiKey", "KeyType": "API_KEY"}
    assert properties("ApiKey", side, **PLAN)["Enabled"] is True
    assert resolved(side, **PLAN)["Outputs"]["ApiKeyId"]["Value"] == "ApiKey"
    assert "Quota" not in properties("UsagePlan", side, **PLAN | {"DailyQuota": ""})
