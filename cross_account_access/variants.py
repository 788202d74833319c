"""The deployments for which the templates are proven: each parameter that shapes a policy, at both extremes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cross_account_access.model import Model, load
from cross_account_access.templates import DEPLOYMENTS, FILES, PROJECT, Side, source


def variants(template_dir: Path = PROJECT) -> dict[str, Model]:
    """Make the models of all variants, the defaults first, setting only parameters that the templates have."""

    def known(side: Side, parameters: Mapping[str, Any]) -> dict[str, Any]:
        there = (template_dir / FILES[side]).exists()
        declared = source(side, template_dir)["Parameters"] if there else {}
        return {name: value for name, value in parameters.items() if name in declared}

    models = {}
    for name, parameters in DEPLOYMENTS.items():
        if name == "required":
            continue
        a, b = known("a", parameters["a"]), known("b", parameters["b"])
        # Without a role, account B's stack needs the methods.
        if "GrantedMethodArns" not in b:
            b.pop("ExecutorRoleArn", None)
        access = known("access", parameters.get("access", parameters["a"]))
        models[name] = load(template_dir, a=a, b=b, access=access)
    return models
