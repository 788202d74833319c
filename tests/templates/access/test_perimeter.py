"""What the perimeter's options change in who may do what: as intended, and every slip is found."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from cross_account_access.documents import Document
from cross_account_access.matrix import rows, subject
from cross_account_access.model import Model, load
from cross_account_access.proof import prove
from cross_account_access.properties import PROPERTIES
from cross_account_access.stack import routes_of_template
from cross_account_access.templates import resolved

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


def refuted(model: Model) -> list[str]:
    """The properties that do not hold."""
    return [
        item.sentence
        for item in PROPERTIES
        if not item.sentence.startswith("Deploy role") and not prove(item, model).proven
    ]


@pytest.fixture(scope="module")
def private() -> Model:
    return load(**OPTIONS["a private API"])


@pytest.mark.parametrize("option", OPTIONS)
def test_every_property_holds_with_an_option(option: str) -> None:
    assert refuted(load(**OPTIONS[option])) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_the_matrix_is_as_intended_with_an_option(option: str) -> None:
    model = load(**OPTIONS[option])
    found = list(rows(model, subject(model)))
    assert [(row.who, row.situation, cell.case) for row in found for cell in row.cells if not cell.good] == []
    outside = [row for row in found if row.situation == "from outside the VPC endpoints"]
    assert len(outside) == (option == "a private API")
    for row in outside:
        assert not any(cell.decision.allowed for cell in row.cells)


def edited(model: Model, name: str, sid: str) -> Iterator[tuple[Document, dict[str, Any]]]:
    """Copies of a policy, each with a statement of it to change."""
    while True:
        document = copy.deepcopy(model[name])
        yield document, next(item for item in document["Statement"] if item["Sid"] == sid)


def test_every_slip_at_the_endpoints_is_found(private: Model) -> None:
    name = f"{private.api} resource"
    copies = edited(private, name, "DenyOutsideEndpoints")
    slips = []

    document, gone = next(copies)
    document["Statement"].remove(gone)
    slips.append(document)
    for condition in (
        {"StringNotEquals": {"aws:SourceVpce": [*ENDPOINTS, "vpce-0000000f"]}},
        {"StringNotEquals": {"aws:SourceVpce": ENDPOINTS[:1]}},
        {"StringEquals": {"aws:SourceVpce": ENDPOINTS}},
        # A request from the internet lacks the key.
        {"StringNotEquals": {"aws:SourceVpce": ENDPOINTS}, "Null": {"aws:SourceVpce": "false"}},
        {"StringNotEquals": {"aws:SourceVpc": ENDPOINTS}},
    ):
        document, statement = next(copies)
        statement["Condition"] = condition
        slips.append(document)
    document, statement = next(copies)
    statement["Effect"] = "Allow"
    slips.append(document)

    assert [slip for slip in slips if not refuted(private.with_document(name, slip))] == []


def test_every_slip_in_the_right_to_network_interfaces_is_found(private: Model) -> None:
    name = "CallerFunctionRole identity"
    denials = edited(private, name, "DenyToFunctionCode")
    slips = []

    document, gone = next(denials)
    document["Statement"].remove(gone)
    slips.append(document)
    changes: tuple[dict[str, Any], ...] = (
        {"Action": gone["Action"][:-1]},
        {
            "Condition": {
                "ArnLike": {"lambda:SourceFunctionArn": "arn:aws:lambda:eu-west-1:222222222222:function:other"}
            }
        },
        {"Condition": {}},
    )
    for change in changes:
        document, statement = next(denials)
        statement.update(change)
        slips.append(document)
    for action in ("ec2:RunInstances", "ec2:*"):
        document, statement = next(edited(private, name, "ManageNetworkInterfaces"))
        statement["Action"] = [*statement["Action"], action]
        slips.append(document)

    assert [slip for slip in slips if not refuted(private.with_document(name, slip))] == []


def test_a_key_is_no_authorizer() -> None:
    api = copy.deepcopy(resolved("a", **OPTIONS["a fair share"]["a"])["Resources"][load().api])
    routes = [item for methods in api["Properties"]["Body"]["paths"].values() for item in methods.values()]
    assert {authorizer for _, _, authorizer, _ in routes_of_template(api, {})} == {"AWS_IAM"}
    for route in routes:
        route["security"] = [{"api_key": []}]
    assert {authorizer for _, _, authorizer, _ in routes_of_template(api, {})} == {"NONE"}
