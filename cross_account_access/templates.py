"""The templates as CloudFormation sees them: transformed by SAM and resolved for given parameters."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cross_account_access import project
from cross_account_access.engine import data, sources, transform
from cross_account_access.engine.intrinsics import ALWAYS, NEVER, Template

Side = Literal["a", "b", "access"]

PROJECT = project.PROJECT
ACCOUNTS = {"a": "111111111111", "b": "222222222222", "access": "111111111111"}
REGION = "eu-west-1"

# Values of parameters: `required` for those without a default, and then the deployments that are proven.
DEPLOYMENTS: dict[str, dict[Side, dict[str, Any]]] = data.read(__file__, "deployments.json")

FILES = {"a": "template-account-a.yaml", "b": "template-account-b.yaml", "access": "template-access.yaml"}


@functools.cache
def _loaded(side: Side, folder: Path) -> sources.Source:
    return sources.load((folder / FILES[side]).read_text(), FILES[side], files=sources.of_folder(folder))


def source(side: Side, folder: Path = PROJECT) -> dict[str, Any]:
    """Return a template as it is in its file."""
    return dict(_loaded(side, folder).template)


@functools.cache
def transformed(side: Side, folder: Path = PROJECT, require_api_keys: str = "") -> dict[str, Any]:
    """Return a template as transformed by SAM, intrinsic functions unresolved but for the parameter that SAM reads."""
    found = _loaded(side, folder)
    read = {"RequireApiKeys": require_api_keys} if "RequireApiKeys" in found.template.get("Parameters", {}) else {}
    return transform.transformed(replace(found, parameters=read))


def parameters_of(side: Side, folder: Path = PROJECT, **given: Any) -> dict[str, Any]:
    """Return the value of each parameter: as given, from what is required, or the default."""
    values: dict[str, Any] = {}
    for name, parameter in source(side, folder)["Parameters"].items():
        value = given.pop(name, DEPLOYMENTS["required"][side].get(name, parameter.get("Default")))
        if parameter["Type"] == "CommaDelimitedList" and isinstance(value, str):
            value = value.split(",")
        values[name] = value
    if given:
        message = f"{FILES[side]} has no parameter {sorted(given)}"
        raise KeyError(message)
    return values


def rules(side: Side, **parameters: Any) -> dict[str, bool]:
    """Return whether each rule of the template accepts the parameters."""
    return rules_of(source(side), parameters_of(side, **parameters))


def rules_of(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, bool]:
    """Return whether each rule of a template accepts the values of its parameters."""
    known = Template(template, values, "", REGION, physical={})
    return {name: known.rule(name) == ALWAYS for name in known.rules}


def resolved(side: Side, **parameters: Any) -> dict[str, Any]:
    """Return the transformed template with parameters, conditions and intrinsic functions resolved.

    A reference to a resource becomes its logical id, and an attribute of one `LogicalId.Attribute`, so that tests can
    name both. Resources whose condition is false are left out. The parameters are those that differ from the defaults
    and from what is required.
    """
    return present(of_parameters(side, parameters))


def present(template: Template) -> dict[str, Any]:
    """Return the resources and outputs that there are, resolved."""
    sections = {"Resources": template.resources, "Outputs": template.outputs}
    there = {
        section: {
            name: entry
            for name, entry in entries.items()
            if "Condition" not in entry or template.condition(entry["Condition"]) != NEVER
        }
        for section, entries in sections.items()
    }
    result: dict[str, Any] = template.resolve(there)
    return result


def of_parameters(
    side: Side,
    parameters: Mapping[str, Any],
    *,
    folder: Path = PROJECT,
    account: str = "",
    region: str = REGION,
    physical: Mapping[str, str] | None = None,
) -> Template:
    """Return a template with every parameter given.

    `physical` maps `LogicalId` and `LogicalId.Attribute` to what they mean; otherwise they stay as they are written.
    """
    account = account or ACCOUNTS[side]
    values = {
        "AWS::AccountId": account,
        "AWS::Partition": "aws",
        "AWS::Region": region,
        "AWS::StackId": f"arn:aws:cloudformation:{region}:{account}:stack/stack-{side}/0a1b2c3d-5e6f",
        "AWS::StackName": f"stack-{side}",
        **parameters_of(side, folder, **parameters),
    }
    template = transformed(side, folder, parameters.get("RequireApiKeys", ""))
    return Template(template, values, account, region, physical=physical or {})
