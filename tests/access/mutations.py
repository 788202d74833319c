"""Faults, seeded one at a time into the policies: what a slip, a merge or a hurried fix makes of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from access.policies import Document, Policies
from access.templates import ACCOUNTS

STRANGER = "333333333333"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: Where it is and what it is.
        document: Name of the policy document that it changes.
        policies: The policies with the fault.
    """

    name: str
    document: str
    policies: Policies


def faults(policies: Policies) -> Iterator[Fault]:
    """Seed every fault that the policies have a place for.

    Args:
        policies: The right policies.

    Yields:
        The faults.
    """
    for document in policies.documents:
        right = policies[document]
        for index, statement in enumerate(right["Statement"]):
            for what, wrong in _changes(statement):
                statements = [*right["Statement"][:index], *wrong, *right["Statement"][index + 1 :]]
                yield _fault(policies, document, f"{statement['Sid']}: {what}", statements)
        for what, statement in _additions(document, policies):
            yield _fault(policies, document, what, [*right["Statement"], {"Sid": "Added", **statement}])


def _fault(policies: Policies, document: str, what: str, statements: list[Any]) -> Fault:
    wrong = policies.with_document(document, {**policies[document], "Statement": statements})
    return Fault(f"{document}: {what}", document, wrong)


def _changes(statement: Document) -> Iterator[tuple[str, list[Document]]]:
    """Yield what can be wrong with a statement: what happened, and the statements that stand in its place."""
    yield "left out", []
    yield "effect turned round", [{**statement, "Effect": {"Allow": "Deny", "Deny": "Allow"}[statement["Effect"]]}]
    for changes in (_conditions, _principals, _actions, _resources):
        for what, wrong in changes(statement):
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

            yield f"{key} dropped", with_condition(None, None)
            yield f"{key} with {operator}IfExists", with_condition(f"{operator}IfExists", values)
            yield f"{key} with ForAllValues:{operator}", with_condition(f"ForAllValues:{operator}", values)
            yield f"{key} with Null false", with_condition("Null", "false")
            if operator == "Bool":
                yield f"{key} turned round", with_condition(operator, {"true": "false", "false": "true"}[values])
                continue
            negated = operator.replace("Not", "") if "Not" in operator else operator.replace("String", "StringNot")
            yield f"{key} negated", with_condition(negated.replace("ArnLike", "ArnNotLike"), values)
            wild = operator.replace("Equals", "Like")
            yield f"{key} is *", with_condition(wild, "arn:*:*:*:*:*" if "Arn" in wild else "*")
            first = values[0] if isinstance(values, list) else values
            yield f"{key} with its first half and *", with_condition(wild, _half(first))


def _half(value: str) -> str:
    """Shorten a value, or the resource of an ARN, to its first half and a wildcard."""
    if value.startswith("arn:"):
        *parts, resource = value.split(":", 5)
        return ":".join([*parts, f"{resource[: len(resource) // 2]}*"])
    variable, brace, _ = value.partition("}")
    return f"{variable}{brace}*" if brace else f"{value[: len(value) // 2]}*"


def _principals(statement: Document) -> Iterator[tuple[str, Document]]:
    if "Principal" not in statement:
        return
    principal = statement["Principal"]
    others = {key: value for key, value in statement.items() if key != "Principal"}
    yield "NotPrincipal", {**others, "NotPrincipal": principal}
    if principal == "*":
        yield "principal narrowed to the own account", {**others, "Principal": {"AWS": ACCOUNTS["a"]}}
        yield "principal narrowed to a stranger", {**others, "Principal": {"AWS": STRANGER}}
        yield "principal narrowed to a service", {**others, "Principal": {"Service": "lambda.amazonaws.com"}}
        return
    yield "principal *", {**others, "Principal": "*"}
    yield "principal AWS *", {**others, "Principal": {"AWS": "*"}}
    if "AWS" in principal:
        for account in (STRANGER, ACCOUNTS["a"]):
            accounts = [*principal["AWS"], f"arn:aws:iam::{account}:root"]
            yield f"principal {account} added", {**others, "Principal": {"AWS": accounts}}
        yield "principal apigateway", {**others, "Principal": {"Service": "apigateway.amazonaws.com"}}
    else:
        services = [principal["Service"], "ec2.amazonaws.com"]
        yield "principal ec2 added", {**others, "Principal": {"Service": services}}
        yield "principal account added", {**others, "Principal": {**principal, "AWS": STRANGER}}


def _actions(statement: Document) -> Iterator[tuple[str, Document]]:
    action = statement["Action"]
    first = action[0] if isinstance(action, list) else action
    service = first.split(":")[0]
    others = {key: value for key, value in statement.items() if key != "Action"}
    yield "NotAction", {**others, "NotAction": action}
    if statement["Effect"] == "Deny":
        yield "action narrowed", {**others, "Action": f"{service}:Get*"}
        return
    yield "every action of the service", {**others, "Action": f"{service}:*"}
    yield "every action", {**others, "Action": "*"}
    yield "one action more", {**others, "Action": [first, f"{service}:TagResource"]}
    if isinstance(action, list):
        yield "one action less", {**others, "Action": action[:-1]}


def _resources(statement: Document) -> Iterator[tuple[str, Document]]:
    if "Resource" not in statement or statement["Resource"] == "*":
        return
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    others = {key: value for key, value in statement.items() if key != "Resource"}
    yield "NotResource", {**others, "NotResource": resources}
    if statement["Effect"] == "Deny":
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


def _additions(document: str, policies: Policies) -> Iterator[tuple[str, Document]]:
    """Yield statements that one might add to a policy, and must not."""
    name, _, kind = document.partition(" ")
    if kind == "identity":
        yield "an administrator's statement added", {"Effect": "Allow", "Action": "*", "Resource": "*"}
        yield (
            "execute-api:Invoke on every API added",
            {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*:*:*"},
        )
        return
    if kind == "trust":
        yield (
            "a role of a stranger added",
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{STRANGER}:role/helper"},
                "Action": "sts:AssumeRole",
            },
        )
        yield (
            "the own account added",
            {"Effect": "Allow", "Principal": {"AWS": ACCOUNTS["a"]}, "Action": "sts:AssumeRole"},
        )
        return
    arn = policies.api_arn if name == "OrdersApi" else policies.names[f"{name}.Arn"]
    action = {"OrdersApi": "execute-api:Invoke", "CallQueue": "sqs:*", "FailedCallQueue": "sqs:*"}.get(name)
    action = action or "lambda:InvokeFunction"
    resource = f"{arn}/*" if name == "OrdersApi" else arn
    granted = {"Effect": "Allow", "Action": action, "Resource": resource}
    yield "Allow for everybody added", {**granted, "Principal": "*"}
    yield "Allow for the executor role added", {**granted, "Principal": {"AWS": policies.names["ExecutorRole.Arn"]}}
    yield "Allow for a stranger added", {**granted, "Principal": {"AWS": STRANGER}}
    yield "Allow for a service added", {**granted, "Principal": {"Service": "events.amazonaws.com"}}
