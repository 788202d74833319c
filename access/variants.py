"""The deployments for which the templates are proven: each parameter that shapes a policy, at both ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from access.model import Model, load
from access.templates import ACCOUNTS, PROJECT, REGION, Side, source

_A, _B = ACCOUNTS["a"], ACCOUNTS["b"]
_VARIANTS: dict[str, dict[Side, Mapping[str, Any]]] = {
    "defaults": {"a": {}, "b": {}},
    "narrowed": {
        "a": {
            "ConsumerAccountIds": [_B, "444444444444", "555555555555"],
            "ExternalId": "new-id",
            "PreviousExternalId": "old-id",
            "CallerPrincipalArns": [f"arn:aws:iam::{_B}:role/job-*", "arn:aws:iam::*:user/ann"],
            "AllowIdentityCenterUsers": "false",
            "SuspendedConsumerIds": ["555555555555"],
            "MoreExecutorRoleIds": ["AROAMOREMOREMOREMORE1"],
            "AlarmEmail": "alarms@example.com",
        },
        "b": {"AlarmEmail": "alarms@example.com"},
    },
    "relaxed": {
        "a": {"RequireMfaForUsers": "false", "StageName": "v2", "SetApiGatewayLogsRole": "true"},
        "b": {
            "ExecutorRoleArn": "",
            "GrantedMethodArns": [f"arn:aws:execute-api:{REGION}:{_A}:a1b2c3d4e5/prod/GET/*"],
        },
    },
}


def variants(template_dir: Path = PROJECT) -> dict[str, Model]:
    """Make the models of all variants, by name; the first one has the templates' defaults."""
    return {name: variant(name, template_dir) for name in _VARIANTS}


def variant(name: str, template_dir: Path = PROJECT) -> Model:
    """Make the model of a variant, as far as the templates have its parameters."""
    a, b = (_known(side, template_dir, _VARIANTS[name][side]) for side in ("a", "b"))
    if "GrantedMethodArns" not in b and not b.get("ExecutorRoleArn", "given"):
        b = {}
    return load(template_dir, a=a, b=b)


def _known(side: Side, template_dir: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    known = source(side, template_dir)["Parameters"]
    return {name: value for name, value in parameters.items() if name in known}
