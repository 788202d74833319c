"""One way to look into the templates: as they are written, and as deployed with some parameters."""

import json
import re
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

from samtranslator.yaml_helper import yaml_parse

from cross_account_access.deploy_role import FILE
from cross_account_access.templates import PROJECT, Side, resolved, source

SIDES: list[Side] = ["a", "b"]
TEMPLATES: list[Side] = [*SIDES, "access"]
DEPLOY_ROLE: dict[str, Any] = yaml_parse((PROJECT / FILE).read_text())

# Parameters that are empty unless somebody asks for what they do.
DOMAIN: dict[str, Any] = {
    "DomainName": "orders.example.org",
    "CertificateArn": "arn:aws:acm:eu-west-1:111111111111:certificate/0a1b2c3d",
}
VPC: dict[str, Any] = {"SubnetIds": "subnet-0a1b2c3d,subnet-1a2b3c4d", "SecurityGroupIds": "sg-0a1b2c3d"}
PLAN: dict[str, Any] = {"RateLimit": "50", "BurstLimit": "100", "DailyQuota": "100000"}
EMAIL: dict[str, Any] = {"AlarmEmail": "ops@example.org"}
ORGANIZATION: dict[str, Any] = {"ConsumerAccountIds": "", "ConsumerOrganizationId": "o-a1b2c3d4e5"}


def written(name: str) -> dict[str, Any]:
    """A template as it is in its file."""
    return DEPLOY_ROLE if name == "deploy-role" else source(cast("Side", name))


def resources(side: Side, **parameters: Any) -> dict[str, Any]:
    """What a stack consists of."""
    found: dict[str, Any] = resolved(side, **parameters)["Resources"]
    return found


def of_type(kind: str, side: Side, **parameters: Any) -> dict[str, dict[str, Any]]:
    """The properties of a stack's resources of one type, by logical id."""
    return {name: item["Properties"] for name, item in resources(side, **parameters).items() if item["Type"] == kind}


def properties(name: str, side: Side, **parameters: Any) -> dict[str, Any]:
    """The properties of one resource of a stack."""
    found: dict[str, Any] = resources(side, **parameters)[name]["Properties"]
    return found


def variables(function: str, side: Side, **parameters: Any) -> dict[str, Any]:
    """The environment of a function, but what only Powertools reads."""
    found: dict[str, Any] = properties(function, side, **parameters)["Environment"]["Variables"]
    return {name: value for name, value in found.items() if not name.startswith("POWERTOOLS_")}


def accepts(name: str, parameter: str, value: str) -> bool:
    """Whether a parameter takes a value; CloudFormation's patterns are Java's, in which a word is ASCII."""
    return bool(re.fullmatch(written(name)["Parameters"][parameter]["AllowedPattern"], value, re.ASCII))


# To import cfn-lint takes most of a second.
CFN_LINT = Path(str(distribution("cfn-lint").locate_file("cfnlint/data")))


@cache
def schema(kind: str) -> dict[str, Any]:
    """CloudFormation's own schema of a resource type, as cfn-lint carries it."""
    files = json.loads((CFN_LINT / "schemas/providers/us-east-1.json").read_text())
    found: dict[str, Any] = json.loads((CFN_LINT / f"schemas/resources/{files[kind]}.json").read_text())
    return found
