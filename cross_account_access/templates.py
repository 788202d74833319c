"""The templates as CloudFormation sees them: transformed by SAM and resolved for given parameters."""

import copy
import functools
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

PROJECT = Path(__file__).parents[1]
ACCOUNTS = {"a": "111111111111", "b": "222222222222", "access": "111111111111"}
REGION = "eu-west-1"

# Parameters without a default.
REQUIRED_PARAMETERS: dict[str, dict[str, Any]] = {
    "a": {"ConsumerAccountIds": [ACCOUNTS["b"]], "ExternalId": "external-id"},
    "b": {
        "ApiUrl": f"https://a1b2c3d4e5.execute-api.{REGION}.amazonaws.com/v1",
        "ExecutorRoleArn": f"arn:aws:iam::{ACCOUNTS['a']}:role/executor",
        "ExternalId": "external-id",
        "CallPath": "/path",
    },
    "access": {
        "GrantedMethodArns": [
            f"arn:aws:execute-api:{REGION}:{ACCOUNTS['a']}:e5d4c3b2a1/prod/{call}"
            for call in ("GET/path", "POST/path/*")
        ],
        "ConsumerAccountIds": [ACCOUNTS["b"]],
        "ExternalId": "external-id",
    },
}

Side = Literal["a", "b", "access"]
FILES = {"a": "template-account-a.yaml", "b": "template-account-b.yaml", "access": "template-access.yaml"}

# It warns about feature toggles and metrics that only the service has.
logging.getLogger("samtranslator").setLevel(logging.ERROR)


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


@functools.cache
def source(side: Side, folder: Path = PROJECT) -> dict[str, Any]:
    """Return a template as it is in its file."""
    template: dict[str, Any] = yaml_parse((folder / FILES[side]).read_text())
    return template


@functools.cache
def transformed(side: Side, folder: Path = PROJECT) -> dict[str, Any]:
    """Return a template as transformed by SAM, intrinsic functions unresolved."""
    template = copy.deepcopy(source(side, folder))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"  # the translator does not accept local folders
    with mock.patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}):
        result: dict[str, Any] = transform(template, {}, _NoManagedPolicies())
    return result


def parameters_of(side: Side, folder: Path = PROJECT, **given: Any) -> dict[str, Any]:
    """Return the value of each parameter: as given, from `REQUIRED_PARAMETERS`, or the default."""
    values: dict[str, Any] = {}
    for name, parameter in source(side, folder)["Parameters"].items():
        value = given.pop(name, REQUIRED_PARAMETERS[side].get(name, parameter.get("Default")))
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
    resolver = _Resolver(values, {}, {})
    return {
        name: not resolver.resolve(rule.get("RuleCondition", {"Fn::Equals": [1, 1]}))
        or all(resolver.resolve(assertion["Assert"]) for assertion in rule["Assertions"])
        for name, rule in template.get("Rules", {}).items()
    }


def resolved(side: Side, **parameters: Any) -> dict[str, Any]:
    """Return the transformed template with parameters, conditions and intrinsic functions resolved.

    A reference to a resource becomes its logical id, and an attribute of one `LogicalId.Attribute`, so that tests can
    name both. Resources whose condition is false are left out. The parameters are those that differ from the defaults
    and from `REQUIRED_PARAMETERS`.
    """
    return resolve(side, parameters)


def resolve(
    side: Side,
    parameters: Mapping[str, Any],
    *,
    folder: Path = PROJECT,
    account: str = "",
    region: str = REGION,
    physical: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Like `resolved`, for any folder, account and region; `physical` maps `LogicalId` and `LogicalId.Attribute`."""
    template = transformed(side, folder)
    values: dict[str, Any] = {
        "AWS::AccountId": account or ACCOUNTS[side],
        "AWS::Partition": "aws",
        "AWS::Region": region,
        "AWS::StackId": f"arn:aws:cloudformation:{region}:{account or ACCOUNTS[side]}:stack/stack-{side}/0a1b2c3d-5e6f",
        "AWS::StackName": f"stack-{side}",
        "AWS::URLSuffix": "amazonaws.com",
        **(physical or {}),
        **parameters_of(side, folder, **parameters),
    }
    return resolve_template(template, values)


def resolve_template(template: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve any template without transform, given the values of parameters and references."""
    resolver = _Resolver(values, template.get("Conditions", {}), template.get("Mappings", {}))
    present = {
        section: {
            name: entry
            for name, entry in template[section].items()
            if "Condition" not in entry or resolver.holds(entry["Condition"])
        }
        for section in ("Resources", "Outputs")
    }
    result: dict[str, Any] = resolver.resolve(present)
    return result


_NOTHING = object()


class _Resolver:
    def __init__(self, values: Mapping[str, Any], conditions: Mapping[str, Any], mappings: Mapping[str, Any]) -> None:
        self._values = values
        self._conditions = conditions
        self._mappings = mappings

    def holds(self, condition: str) -> bool:
        return bool(self.resolve(self._conditions[condition]))

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, argument)
            if name == "Condition" and isinstance(argument, str):
                return self.holds(argument)
        pairs = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in pairs.items() if item is not _NOTHING}

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return _NOTHING if argument == "AWS::NoValue" else self._values.get(argument, argument)
            case "Fn::GetAtt":
                attribute = argument if isinstance(argument, str) else ".".join(argument)
                return self._values.get(attribute, attribute)
            case "Fn::Sub":
                text, extra = (argument, {}) if isinstance(argument, str) else argument
                values = {**self._values, **self.resolve(extra)}
                # ${!x} is CloudFormation's escape for a literal ${x}.
                text = re.sub(r"\$\{([\w.:]+)\}", lambda match: str(values.get(match[1], match[1])), text)
                return text.replace("${!", "${")
            case "Fn::If":
                condition, if_true, if_false = argument
                return self.resolve(if_true if self.holds(condition) else if_false)
        return self._of_values(name, self.resolve(argument))

    def _of_values(self, name: str, argument: Any) -> Any:
        match name:
            case "Fn::Join":
                delimiter, items = argument
                return delimiter.join(items)
            case "Fn::Split":
                delimiter, text = argument
                return text.split(delimiter)
            case "Fn::Select":
                index, items = argument
                return items[int(index)]
            case "Fn::FindInMap":
                table, top, second = argument
                return self._mappings[table][top][second]
            case "Fn::Equals":
                left, right = argument
                return left == right
            case "Fn::Not":
                return not argument[0]
            case "Fn::And":
                return all(argument)
            case "Fn::Or":
                return any(argument)
            case "Fn::Contains":
                members, value = argument
                return value in members
            case "Fn::EachMemberIn":
                members, others = argument
                return all(member in others for member in members)
        message = f"{name} is not supported"
        raise NotImplementedError(message)
