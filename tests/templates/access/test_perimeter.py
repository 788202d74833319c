"""What the perimeter's options change in who may do what: as intended, and every slip is found."""

import copy
from typing import Any

import pytest

from cross_account_access.model import load
from cross_account_access.report import examine
from cross_account_access.stack import routes_of_template
from cross_account_access.templates import resolved
from tests.templates.access.test_properties import Trial

ENDPOINTS = ["vpce-0a1b2c3d", "vpce-1a2b3c4d"]
OPTIONS: dict[str, dict[str, Any]] = {
    "a domain": {
        "a": {
            "DomainName": "orders.example.org",
            "CertificateArn": "arn:aws:acm:eu-west-1:111111111111:certificate/0a1b2c3d",
            "HostedZoneId": "Z1",
        }
    },
    "a private API": {
        "a": {"VpcEndpointIds": ENDPOINTS},
        "b": {"SubnetIds": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]},
    },
    "a web ACL": {"a": {"WebAclArn": "arn:aws:wafv2:eu-west-1:111111111111:regional/webacl/shield/0a1b2c3d"}},
    "a fair share": {
        "a": {"RateLimit": "50", "RequireApiKeys": "true"},
        "b": {"ApiKey": "a1b2c3d4e5f6g7h8i9j0"},
    },
}


@pytest.mark.parametrize("option", OPTIONS)
def test_access_is_as_it_should_be_with_an_option(option: str) -> None:
    found = examine({option: load(**OPTIONS[option])}, {})
    assert found.good, found.summary
    outside = [row for row in found.matrices[0].rows if row.situation == "from outside the VPC endpoints"]
    assert len(outside) == (option == "a private API")
    assert not any(cell.decision.allowed for row in outside for cell in row.cells)


@pytest.mark.parametrize("statement", ["DenyOutsideEndpoints", "DenyToFunctionCode", "ManageNetworkInterfaces"])
def test_every_slip_of_a_private_api_is_found(statement: str) -> None:
    """At the endpoints, and in the caller's right to network interfaces."""
    trial = Trial().of(load(**OPTIONS["a private API"]), f": {statement}: ")
    assert trial.unexplained == []
    assert len(trial.refuted) > 5


def test_a_key_is_no_authorizer() -> None:
    api = copy.deepcopy(resolved("a", **OPTIONS["a fair share"]["a"])["Resources"][load().api])
    routes = [item for methods in api["Properties"]["Body"]["paths"].values() for item in methods.values()]
    assert {authorizer for _, _, authorizer, _ in routes_of_template(api, {})} == {"AWS_IAM"}
    for route in routes:
        route["security"] = [{"api_key": []}]
    assert {authorizer for _, _, authorizer, _ in routes_of_template(api, {})} == {"NONE"}
