"""The deployments for which the templates are proven: each parameter that shapes a policy, at both extremes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cross_account_access.model import Model, load
from cross_account_access.templates import ACCOUNTS, FILES, PROJECT, REGION, Side, source

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
        "access": {
            "ConsumerAccountIds": [""],
            "ConsumerOrganizationId": "o-a1b2c3d4e5",
            "ConsumerOrganizationPaths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*"],
            "RequireMfaForUsers": "false",
        },
    },
}


def variants(template_dir: Path = PROJECT) -> dict[str, Model]:
    """Make the models of all variants, the defaults first, setting only parameters that the templates have."""

    def known(side: Side, parameters: Mapping[str, Any]) -> dict[str, Any]:
        there = (template_dir / FILES[side]).exists()
        declared = source(side, template_dir)["Parameters"] if there else {}
        return {name: value for name, value in parameters.items() if name in declared}

    models = {}
    for name, parameters in _VARIANTS.items():
        a, b = known("a", parameters["a"]), known("b", parameters["b"])
        # Without a role, account B's stack needs the methods.
        if "GrantedMethodArns" not in b:
            b.pop("ExecutorRoleArn", None)
        access = known("access", parameters.get("access", parameters["a"]))
        models[name] = load(template_dir, a=a, b=b, access=access)
    return models
