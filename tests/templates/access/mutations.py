"""Faults, seeded one at a time into the policies: what a slip, a merge or a hurried fix makes of them."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cross_account_access.documents import Document
from cross_account_access.matrix import STRANGER
from cross_account_access.model import Model


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: Where it is and what it is.
        document: Name of the policy document that it changes.
        model: The model with the fault.
    """

    name: str
    document: str
    model: Model


def faults(model: Model) -> Iterator[Fault]:
    """Seed every fault that the policies of a model have a place for."""
    for document in model.documents:
        right = model[document]
        seen: list[Document] = []
        for index, statement in enumerate(right["Statement"]):
            # Lambda makes a statement for each route, which differ in the route only.
            shape = {**statement, "Sid": "", "Condition": list(statement.get("Condition", {}))}
            if shape in seen:
                continue
            seen.append(shape)
            for what, wrong in changes(statement, model.accounts()[0]):
                statements = [*right["Statement"][:index], *wrong, *right["Statement"][index + 1 :]]
                yield _fault(model, document, f"{statement.get('Sid', index)}: {what}", statements)
        for what, statement in _additions(document, model):
            yield _fault(model, document, what, [*right["Statement"], {"Sid": "Added", **statement}])


def _fault(model: Model, document: str, what: str, statements: list[Any]) -> Fault:
    wrong = model.with_document(document, {**model[document], "Statement": statements})
    return Fault(f"{document}: {what}", document, wrong)


def changes(statement: Document, own: str) -> Iterator[tuple[str, list[Document]]]:
    """Yield what can be wrong with a statement: what happened, and the statements that replace it.

    `own` is the account of the role or resource.
    """
    yield "left out", []
    yield "effect turned round", [{**statement, "Effect": {"Allow": "Deny", "Deny": "Allow"}[statement["Effect"]]}]
    for what, wrong in _principals(statement, own):
        yield what, [wrong]
    for wrongs in (_conditions, _actions, _resources):
        for what, wrong in wrongs(statement):
            yield what, [wrong]


def _conditions(statement: Document) -> Iterator[tuple[str, Document]]:
    for operator, block in statement.get("Condition", {}).items():
        for key, values in block.items():

            def with_condition(new: str | None, value: Any, operator: str = operator, key: str = key) -> Document:
                wrong = copy.deepcopy(statement)
                del wrong["Condition"][operator][key]
                if new:
                    wrong["Condition"].setdefault(new, {})[key] = value
                return wrong

            yield f"{operator} {key} dropped", with_condition(None, None)
            if operator == "Null":
                yield f"{key} turned round", with_condition(operator, "false" if values == "true" else "true")
                continue
            if not operator.endswith("IfExists"):
                yield f"{operator} {key} with {operator}IfExists", with_condition(f"{operator}IfExists", values)
            yield f"{operator} {key} with ForAllValues:{operator}", with_condition(f"ForAllValues:{operator}", values)
            yield f"{operator} {key} with Null false", with_condition("Null", "false")
            # YAML's true is no text.
            yield f"{operator} {key} with Null true", with_condition("Null", True)
            if isinstance(values, list) and len(values) > 1:
                yield f"{operator} {key} with one value less", with_condition(operator, values[1:])
            if operator.startswith("Bool"):
                yield (
                    f"{operator} {key} turned round",
                    with_condition(operator, {"true": "false", "false": "true"}[values]),
                )
                continue
            negated = operator.replace("Not", "") if "Not" in operator else re.sub("(String|Arn)", r"\1Not", operator)
            yield f"{operator} {key} negated", with_condition(negated, values)
            wild = operator.replace("Equals", "Like")
            yield f"{operator} {key} is *", with_condition(wild, "arn:*:*:*:*:*" if "Arn" in wild else "*")
            first = values[0] if isinstance(values, list) else values
            yield f"{operator} {key} with its first half and *", with_condition(wild, _half(first))


def _half(value: str) -> str:
    """Shorten a value, or the resource of an ARN, to its first half and a wildcard."""
    if value.startswith("arn:"):
        *parts, resource = value.split(":", 5)
        return ":".join([*parts, f"{resource[: len(resource) // 2]}*"])
    variable, brace, _ = value.partition("}")
    return f"{variable}{brace}*" if brace else f"{value[: len(value) // 2]}*"


def _principals(statement: Document, own: str) -> Iterator[tuple[str, Document]]:
    if "Principal" not in statement:
        return
    principal = statement["Principal"]
    others = {key: value for key, value in statement.items() if key != "Principal"}
    yield "NotPrincipal", {**others, "NotPrincipal": principal}
    if principal == "*":
        yield "principal narrowed to the own account", {**others, "Principal": {"AWS": own}}
        yield "principal narrowed to a stranger", {**others, "Principal": {"AWS": STRANGER}}
        yield "principal narrowed to a service", {**others, "Principal": {"Service": "lambda.amazonaws.com"}}
        return
    yield "principal *", {**others, "Principal": "*"}
    yield "principal AWS *", {**others, "Principal": {"AWS": "*"}}
    if "AWS" in principal:
        for account in (STRANGER, own):
            named = principal["AWS"] if isinstance(principal["AWS"], list) else [principal["AWS"]]
            accounts = [*named, f"arn:aws:iam::{account}:root"]
            yield f"principal {account} added", {**others, "Principal": {"AWS": accounts}}
        yield "principal apigateway", {**others, "Principal": {"Service": "apigateway.amazonaws.com"}}
    else:
        services = [*filter(None, [principal.get("Service")]), "ec2.amazonaws.com"]
        yield "principal ec2 added", {**others, "Principal": {**principal, "Service": services}}
        yield "principal account added", {**others, "Principal": {**principal, "AWS": STRANGER}}


def _actions(statement: Document) -> Iterator[tuple[str, Document]]:
    action = statement["Action"]
    actions = action if isinstance(action, list) else [action]
    service = actions[0].split(":")[0]
    others = {key: value for key, value in statement.items() if key != "Action"}
    yield "NotAction", {**others, "NotAction": action}
    if isinstance(action, list):
        yield "one action less", {**others, "Action": action[:-1]}
    if statement["Effect"] == "Deny":
        yield "action narrowed", {**others, "Action": f"{service}:Get*"}
        return
    for each in sorted({action.split(":")[0] for action in actions}):
        yield f"every action of {each}", {**others, "Action": [*actions, f"{each}:*"]}
    yield "every action", {**others, "Action": "*"}
    yield "one action more", {**others, "Action": [*actions, f"{service}:TagResource"]}


def _resources(statement: Document) -> Iterator[tuple[str, Document]]:
    if "NotResource" in statement:
        yield "no resource", {**statement, "NotResource": "*"}
    if statement.get("Resource", "*") == "*":
        return
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    others = {key: value for key, value in statement.items() if key != "Resource"}
    yield "NotResource", {**others, "NotResource": resources}
    if statement["Effect"] == "Deny":
        for resource in resources if len(resources) > 1 else ():
            yield f"without {resource}", {**others, "Resource": [one for one in resources if one != resource]}
        yield "resource narrowed", {**others, "Resource": f"{resources[0].rstrip('/*')}/other/*"}
        return
    yield "every resource", {**others, "Resource": "*"}
    yield "one resource less", {**others, "Resource": [*resources[1:], "arn:aws:s3:::none"]}
    for resource in resources:
        *parts, last = resource.split(":", 5)
        if not resource.endswith("*"):
            yield f"{last} with * at the end", {**others, "Resource": [*resources, f"{resource}*"]}
        for index, part in enumerate(last.split("/")):
            if part != "*":
                wild = "/".join([*last.split("/")[:index], "*", *last.split("/")[index + 1 :]])
                yield f"{last} widened to {wild}", {**others, "Resource": [*resources, ":".join([*parts, wild])]}
        if "execute-api" in resource:
            api, stage, method, path = last.split("/", 3)
            swapped = ":".join([*parts, f"{api}/{method}/{stage}/{path}"])
            yield (
                f"{last} with stage and method swapped",
                {**others, "Resource": [swapped if item == resource else item for item in resources]},
            )


def _additions(document: str, model: Model) -> Iterator[tuple[str, Document]]:
    """Yield statements that one might add to a policy, and must not."""
    name, _, kind = document.rpartition(" ")
    if kind == "identity":
        yield "an administrator's statement added", {"Effect": "Allow", "Action": "*", "Resource": "*"}
        yield (
            "execute-api:Invoke on every API added",
            {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*:*:*"},
        )
        return
    if kind == "trust":
        helper = f"arn:aws:iam::{STRANGER}:role/helper"
        yield (
            "a role of a stranger added",
            {"Effect": "Allow", "Principal": {"AWS": helper}, "Action": "sts:AssumeRole"},
        )
        own = {"AWS": model.accounts()[0]}
        yield "the own account added", {"Effect": "Allow", "Principal": own, "Action": "sts:AssumeRole"}
        return
    is_api = name == model.api
    arn = model.api_arn if is_api else model.arn(name)
    actions = {"execute-api": "execute-api:Invoke", "lambda": "lambda:InvokeFunction"}
    service = arn.split(":")[2]
    granted = {
        "Effect": "Allow",
        "Action": actions.get(service, f"{service}:*"),
        "Resource": f"{arn}/*" if is_api else arn,
    }
    yield "Allow for everybody added", {**granted, "Principal": "*"}
    yield "Allow for the executor role added", {**granted, "Principal": {"AWS": model.executor.arn}}
    yield "Allow for a stranger added", {**granted, "Principal": {"AWS": STRANGER}}
    yield "Allow for a service added", {**granted, "Principal": {"Service": "events.amazonaws.com"}}
