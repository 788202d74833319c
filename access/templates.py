"""The shipped templates as CloudFormation sees them: transformed by SAM and resolved for given parameters."""

from __future__ import annotations

import copy
import functools
import os
import re
from pathlib import Path
from typing import Any, Literal
from unittest import mock

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

PROJECT = Path(__file__).parents[1]
ACCOUNTS = {"a": "111111111111", "b": "222222222222"}
REGION = "eu-west-1"

# What a user must give; everything else has a default.
REQUIRED_PARAMETERS: dict[str, dict[str, Any]] = {
    "a": {"ConsumerAccountIds": [ACCOUNTS["b"]], "ExternalId": "external-id"},
    "b": {
        "ApiUrl": f"https://a1b2c3d4e5.execute-api.{REGION}.amazonaws.com/v1",
        "ExecutorRoleArn": f"arn:aws:iam::{ACCOUNTS['a']}:role/executor",
        "ExternalId": "external-id",
    },
}

Side = Literal["a", "b"]


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


@functools.cache
def source(side: Side) -> dict[str, Any]:
    """Return the template of an account as it stands in its file."""
    template: dict[str, Any] = yaml_parse((PROJECT / f"template-account-{side}.yaml").read_text())
    return template


@functools.cache
def transformed(side: Side) -> dict[str, Any]:
    """Return the template of an account as SAM's transform makes it, functions and intrinsics unresolved."""
    template = copy.deepcopy(source(side))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/key"  # the translator takes no local folder
    with mock.patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}):
        result: dict[str, Any] = transform(template, {}, _NoManagedPolicies())
    return result


def resolved(side: Side, **parameters: Any) -> dict[str, Any]:
    """Return the transformed template with parameters, conditions and intrinsic functions worked out.

    A reference to a resource becomes its logical id, and an attribute of one ``LogicalId.Attribute``, so that tests can
    name both. What a false condition leaves out is gone.

    Args:
        side: Whose template.
        **parameters: Values that differ from the defaults and from `REQUIRED_PARAMETERS`.
    """
    template = transformed(side)
    values = _values(side, parameters)
    conditions: dict[str, bool] = {}
    resolver = _Resolver(values, conditions)
    for name, condition in template.get("Conditions", {}).items():
        conditions[name] = resolver.resolve(condition)
    resources = {
        name: resource
        for name, resource in template["Resources"].items()
        if conditions.get(resource.get("Condition", ""), True)
    }
    result: dict[str, Any] = resolver.resolve({"Resources": resources, "Outputs": template["Outputs"]})
    return result


def _values(side: Side, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the value of each parameter and pseudo parameter."""
    parameters = dict(parameters)
    values: dict[str, Any] = {
        "AWS::AccountId": ACCOUNTS[side],
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::StackName": f"stack-{side}",
        "AWS::URLSuffix": "amazonaws.com",
    }
    for name, parameter in source(side)["Parameters"].items():
        value = parameters.pop(name, REQUIRED_PARAMETERS[side].get(name, parameter.get("Default")))
        if parameter["Type"] == "CommaDelimitedList" and isinstance(value, str):
            value = value.split(",")
        values[name] = value
    if parameters:
        message = f"template-account-{side}.yaml has no parameter {sorted(parameters)}"
        raise KeyError(message)
    return values


def rules(side: Side, **parameters: Any) -> dict[str, bool]:
    """Return whether each rule of the template accepts the parameters."""
    values = _values(side, parameters)
    resolver = _Resolver(values, {})
    return {
        name: not resolver.resolve(rule.get("RuleCondition", {"Fn::Equals": [1, 1]}))
        or all(resolver.resolve(assertion["Assert"]) for assertion in rule["Assertions"])
        for name, rule in source(side).get("Rules", {}).items()
    }


_NOTHING = object()


class _Resolver:
    def __init__(self, values: dict[str, Any], conditions: dict[str, bool]) -> None:
        self._values = values
        self._conditions = conditions

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not _NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, argument)
        pairs = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in pairs.items() if item is not _NOTHING}

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return _NOTHING if argument == "AWS::NoValue" else self._values.get(argument, argument)
            case "Fn::GetAtt":
                return ".".join(argument)
            case "Fn::Sub":
                text, extra = (argument, {}) if isinstance(argument, str) else argument
                values = {**self._values, **self.resolve(extra)}
                # ${!x} is CloudFormation's way to write ${x} itself.
                text = re.sub(r"\$\{([\w.:]+)\}", lambda match: str(values.get(match[1], match[1])), text)
                return text.replace("${!", "${")
            case "Fn::Join":
                delimiter, items = argument
                return delimiter.join(self.resolve(items))
            case "Fn::Split":
                delimiter, text = argument
                return self.resolve(text).split(delimiter)
            case "Fn::Select":
                index, items = argument
                return self.resolve(items)[index]
            case "Fn::If":
                condition, if_true, if_false = argument
                return self.resolve(if_true if self._conditions[condition] else if_false)
            case _:
                return self._condition(name, argument)

    def _condition(self, name: str, argument: Any) -> bool:
        match name:
            case "Fn::Equals":
                left, right = self.resolve(argument)
                return bool(left == right)
            case "Fn::Not":
                return not self.resolve(argument[0])
            case "Fn::And":
                return all(self.resolve(argument))
            case "Fn::Contains":
                members, value = self.resolve(argument)
                return bool(value in members)
            case "Fn::EachMemberIn":
                members, others = self.resolve(argument)
                return all(member in others for member in members)
            case "Fn::Or":
                return any(self.resolve(argument))
        message = f"the resolver knows no {name}"
        raise NotImplementedError(message)
