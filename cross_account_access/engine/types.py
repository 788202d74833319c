"""What the properties of a resource type mean for access.

`types.json` has a line for each type. `modelled` is what the formulas and facts cover, `runs as` names a role or an
instance profile, `neutral` can give nothing to anybody, with the reason, and `not judged` might. Two kinds depend on
the value: `own` gives nothing as long as it refers to this template's resources and this account only, and `new` (if
written with `=`, with that value) gives nothing to anybody where the resource is new, but might where it changes. A
name with dots is a part of a property and goes before the property itself. A type that is not listed may do anything.
"""

import re
from collections.abc import Container, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from cross_account_access.engine import data

_ALWAYS_NEUTRAL = {"Tags", "Description"}
_REFERENCE = re.compile(r"\$\{(!?)([^}]*)\}")
# What might be somebody else's: an ARN, a URL, an address, an account.
_FOREIGN = re.compile(r"arn:|://|@|(?<![0-9])[0-9]{12}(?![0-9])")
_OWN = "\0"


class Use(StrEnum):
    """How a property is looked at."""

    MODELLED = "modelled"
    NEUTRAL = "neutral"
    NOT_JUDGED = "not judged"


class Change(StrEnum):
    """What happened to the resource that has the property."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"


@cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """Return the list by resource type."""
    loaded: dict[str, Mapping[str, Any]] = data.read(__file__, "types.json")
    return loaded


def known(kind: str) -> bool:
    """Whether a resource type is in the list."""
    return kind in table()


def roles(kind: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the roles with which a resource does its work, by path."""
    for path in table().get(kind, {}).get("runs as", ()):
        for value in at(properties, path):
            yield path, value


def works_as(kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a resource's properties that name its roles."""
    names = {path.split(".")[0] for path in table().get(kind, {}).get("runs as", ())}
    return {name: value for name, value in properties.items() if name in names}


def classify(
    kind: str,
    name: str,
    before: Any = None,
    after: Any = None,
    *,
    change: Change = Change.CHANGED,
    own: Container[str] = (),
) -> Use:
    """Say how a property is looked at that is not the same in both revisions.

    Args:
        kind: The resource type.
        name: The property.
        before: Its value in the older revision, None if it has none. Intrinsic functions are in their long form.
        after: The same of the newer revision.
        change: What happened to the resource.
        own: The logical ids of the newer revision's resources.
    """
    row = table().get(kind, {})
    if name in row.get("modelled", ()):
        return Use.MODELLED
    if name in _ALWAYS_NEUTRAL and kind in table():
        return Use.NEUTRAL
    if name in row.get("runs as", ()):
        return Use.MODELLED
    if name in row.get("not judged", ()) or any(
        _part(before, path) != _part(after, path) for path in row.get("not judged", ()) if _is_below(path, name)
    ):
        return Use.NOT_JUDGED
    for path in row.get("own", ()):
        if (path == name or _is_below(path, name)) and not all(is_own(value, own) for value in _part(after, path)):
            return Use.NOT_JUDGED
    for entry in row.get("new", ()):
        path, _, value = entry.partition("=")
        if path == name and not _gives_nothing(row, change, value, after):
            return Use.NOT_JUDGED
    is_listed = any(name == path.split("=")[0].split(".")[0] for path in _paths(row))
    return Use.NEUTRAL if is_listed else Use.NOT_JUDGED


def is_own(value: Any, own: Container[str]) -> bool:
    """Whether a value refers to resources of this template, or to this account, and to nothing else."""
    if isinstance(value, list):
        return all(is_own(item, own) for item in value)
    if isinstance(value, Mapping) and len(value) == 1:
        [(function, argument)] = value.items()
        match function:
            case "Fn::If":
                return is_own(argument[1:], own)
            case "Ref" | "Fn::GetAtt" | "Fn::Sub" | "Fn::Join":
                text = _text(value, own)
                return text is not None and _is_own_text(text)
        if function.startswith("Fn::"):
            return False
    if isinstance(value, Mapping):
        return all(is_own(item, own) for item in value.values())
    return _is_own_text(str(value))


def _is_own_text(text: str) -> bool:
    parts = text.split(":", 5)
    if parts[0] == "arn" and len(parts) == 6:
        # An ARN without an account, such as a bucket's, is own by its name; `lambda` and the like are API Gateway's.
        is_here = parts[4] == _OWN or ((not parts[4] or parts[4].isalpha()) and _OWN in parts[5])
        return is_here and not _FOREIGN.search(parts[5].replace(f"arn:{_OWN}", "").replace("arn:aws", ""))
    return not _FOREIGN.search(text)


def _text(value: Any, own: Container[str]) -> str | None:
    """Flatten a text, with a mark in place of every reference to something own; None if it refers to anything else."""
    if not isinstance(value, Mapping):
        return None if isinstance(value, list) else str(value)
    [(function, argument)] = value.items()
    match function:
        case "Ref":
            return _OWN if argument in own or argument.startswith("AWS::") else None
        case "Fn::GetAtt":
            return _OWN if (argument if isinstance(argument, list) else argument.split("."))[0] in own else None
        case "Fn::Sub":
            template, names = argument if isinstance(argument, list) else (argument, {})
            found = [
                f"${{{name}}}" if literal else _text(names.get(name, {"Ref": name.split(".")[0]}), own)
                for literal, name in _REFERENCE.findall(template)
            ]
            if None in found:
                return None
            values = iter(map(str, found))
            return _REFERENCE.sub(lambda _: next(values), template)
        case "Fn::Join" if isinstance(argument[1], list):
            texts = [_text(item, own) for item in argument[1]]
            return None if None in texts else str(argument[0]).join(map(str, texts))
    return None


def _gives_nothing(row: Mapping[str, Any], change: Change, value: str, after: Any) -> bool:
    if change is Change.NEW:
        return not value or str(after) == value
    # What does nothing but limit others is missed once it is gone.
    return change is Change.REMOVED and "neutral" in row


def _paths(row: Mapping[str, Any]) -> list[str]:
    listed = (row.get(use, ()) for use in ("runs as", "own", "new", "not judged"))
    return [path for paths in (*listed, *row.get("neutral", {}).values()) for path in paths]


def _is_below(path: str, name: str) -> bool:
    return path.startswith(f"{name}.")


def _part(value: Any, path: str) -> list[Any]:
    """Return what a property's value has at a path that begins with the property's name."""
    _, _, rest = path.partition(".")
    return ([] if value is None else [value]) if not rest else list(at(value, rest))


def at(value: Any, path: str) -> Iterator[Any]:
    """Yield what is at a path, in every element of lists and in both branches of conditions."""
    if isinstance(value, list):
        for item in value:
            yield from at(item, path)
    elif isinstance(value, Mapping) and "Fn::If" in value:
        yield from at(value["Fn::If"][1:], path)
    elif isinstance(value, Mapping):
        name, _, rest = path.partition(".")
        if name in value:
            yield from at(value[name], rest) if rest else [value[name]]
