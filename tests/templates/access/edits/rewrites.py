"""The same template, written otherwise: rewrites of the parsed template that change no access."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cross_account_access.engine.sources import load

type Tree = Any
type Rewrite = Callable[[dict[str, Any], random.Random], dict[str, Any]]


def read(text: str) -> dict[str, Any]:
    """Read a template."""
    return dict(load(text, "template.yaml").template)


def write(template: Mapping[str, Any]) -> str:
    """Write a template, as JSON."""
    return json.dumps(template, indent=1)


def _each(tree: Tree, change: Callable[[str, Any], Any], name: str = "") -> Tree:
    """Rebuild a tree from its leaves, with each value changed."""
    if isinstance(tree, dict):
        tree = {key: _each(value, change, key) for key, value in tree.items()}
    elif isinstance(tree, list):
        tree = [_each(value, change) for value in tree]
    return change(name, tree)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _statements(template: dict[str, Any], change: Callable[[list[Any]], list[Any]]) -> dict[str, Any]:
    def each(name: str, value: Any) -> Any:
        return change(value) if name == "Statement" and isinstance(value, list) else value

    return {**template, "Resources": _each(template["Resources"], each)}


def reversed_statements(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Statements in the other order."""
    return _statements(template, lambda statements: statements[::-1])


def repeated_statement(template: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A statement twice."""

    def twice(statements: list[Any]) -> list[Any]:
        again = chance.choice(statements)
        plain = isinstance(again, dict) and "Effect" in again
        return [*statements, {key: value for key, value in again.items() if key != "Sid"} if plain else again]

    return _statements(template, twice)


def renamed_statements(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Other Sids."""
    return {**template, "Resources": _each(template["Resources"], lambda n, v: f"{v}Too" if n == "Sid" else v)}


def split_actions(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """A statement for each action."""

    def split(statements: list[Any]) -> list[Any]:
        return [part for statement in statements for part in _apart(statement)]

    return _statements(template, split)


def _apart(statement: Any) -> Iterator[Any]:
    actions = statement.get("Action") if isinstance(statement, dict) else None
    if not isinstance(actions, list):
        yield statement
        return
    for number, action in enumerate(actions):
        yield {**statement, "Action": action, "Sid": f"{statement.get('Sid', 'S')}{number}"}


def lists_for_values(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Lists of one instead of values."""

    def listed(name: str, value: Any) -> Any:
        # A reference may be one to a list.
        is_one = _is_text(value) or (isinstance(value, dict) and {"Fn::Sub", "Fn::GetAtt"} & set(value))
        return [value] if name in {"Action", "Resource"} and is_one else value

    return _statements(
        template, lambda statements: [_each(item, listed) if "Effect" in item else item for item in statements]
    )


def other_case(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Actions in upper case."""

    def shouted(statements: list[Any]) -> list[Any]:
        return [
            {**item, "Action": [action.upper() if _is_text(action) else action for action in _listed(item["Action"])]}
            if "Action" in item
            else item
            for item in statements
        ]

    return _statements(template, shouted)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def conditional_values(template: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A statement that a condition puts in, whichever way it turns out."""
    conditions = list(template.get("Conditions", {}))
    if not conditions:
        return template

    def either(statements: list[Any]) -> list[Any]:
        place = chance.randrange(len(statements))
        chosen = {"Fn::If": [chance.choice(conditions), statements[place], statements[place]]}
        return [*statements[:place], chosen, *statements[place + 1 :]]

    return _statements(template, either)


def turned_conditions(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Every condition the other way round, and the branches of each If with it."""
    names = {f"Not{name}": {"Fn::Not": [{"Condition": name}]} for name in template.get("Conditions", {})}

    def turned(name: str, value: Any) -> Any:
        if name == "Fn::If":
            return [f"Not{value[0]}", value[2], value[1]]
        return value

    conditions = {**template.get("Conditions", {}), **names}
    return {**template, "Conditions": conditions, "Resources": _each(template["Resources"], turned)}


def joined_texts(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Join instead of Sub without a map."""

    def joined(name: str, value: Any) -> Any:
        if not isinstance(value, dict) or not _is_text(value.get("Fn::Sub")) or "${!" in value["Fn::Sub"]:
            return value
        parts: list[Any] = []
        for number, part in enumerate(value["Fn::Sub"].split("${")):
            inside, brace, rest = part.partition("}")
            if number and brace:
                found = {"Fn::GetAtt": inside.split(".", 1)} if "." in inside else {"Ref": inside}
                parts += [found, rest]
            else:
                parts.append(part)
        return {"Fn::Join": ["", parts]}

    return {**template, "Resources": _each(template["Resources"], joined)}


def reversed_resources(template: dict[str, Any], _: random.Random) -> dict[str, Any]:
    """Resources and their properties in the other order."""
    resources = {
        name: {**resource, "Properties": dict(reversed((resource.get("Properties") or {}).items()))}
        for name, resource in reversed(template["Resources"].items())
    }
    return {**template, "Resources": resources}


def annotated(template: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Descriptions, metadata, and what waits for what."""
    names = list(template["Resources"])
    name = chance.choice(names)
    noted = {**template["Resources"][name], "Metadata": {"Note": "changed"}, "DeletionPolicy": "Retain"}
    return {**template, "Description": "changed", "Resources": {**template["Resources"], name: noted}}


REWRITES: tuple[Rewrite, ...] = (
    reversed_statements,
    repeated_statement,
    renamed_statements,
    split_actions,
    lists_for_values,
    other_case,
    conditional_values,
    turned_conditions,
    joined_texts,
    reversed_resources,
    annotated,
)
