"""Intrinsic functions without values: conditions become cases, and texts that no template knows stay names.

A resolved value is a literal (text, number, bool), a list, a mapping, `NOTHING`, an `Opaque` text, or a `Choice` of
such values. Two opaque texts of the same name are the same text in whatever revision; of others nothing is known.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import z3

from cross_account_access.engine import data
from cross_account_access.engine.fields import FALSE, all_of, any_of, no
from cross_account_access.engine.languages import admits, text_of, within
from cross_account_access.engine.transform import references

ACCOUNT, REGION = "111111111111", "eu-west-1"
# By type: the ARN made of the physical id, whether `Ref` means it, the property that names the resource, and what else
# is known of a policy that governs it or that it is.
RESOURCES: Mapping[str, Mapping[str, str]] = data.read(__file__, "resources.json")
# Resources whose attributes somebody else's code decides.
_FOREIGN = ("AWS::CloudFormation::", "Custom::", "AWS::Serverless::Application")


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING = _Nothing()

type Guard = tuple[Any, ...]
"""A condition: `("is", term, literal)`, or `("not"|"and"|"or", guard…)`; equal ones are equal."""

ALWAYS: Guard = ("and",)
NEVER: Guard = ("or",)


def both(*guards: Guard) -> Guard:
    """Conjunction."""
    return _joined("and", "or", guards)


def either(*guards: Guard) -> Guard:
    """Disjunction."""
    return _joined("or", "and", guards)


def negated(guard: Guard) -> Guard:
    """Negation."""
    if guard[0] == "not":
        inner: Guard = guard[1]
        return inner
    if guard == ALWAYS:
        return NEVER
    return ALWAYS if guard == NEVER else ("not", guard)


def _joined(operation: str, other: str, guards: Iterable[Guard]) -> Guard:
    parts: dict[Guard, None] = {}
    for guard in guards:
        parts |= dict.fromkeys(guard[1:] if guard[0] == operation else [guard])
    if (other,) in parts or any(negated(part) in parts for part in parts if part[0] in {"is", "not"}):
        return (other,)
    return next(iter(parts)) if len(parts) == 1 else (operation, *parts)


@dataclass(frozen=True)
class Term:
    """A text, or a list of texts, that the template does not know."""

    name: str  # the same for equal texts of both revisions
    parameters: frozenset[str] = frozenset()  # from whose values it is made, and nothing else; empty: from elsewhere
    is_list: bool = False


@dataclass(frozen=True)
class Opaque:
    """A text with unknown pieces; one that is split at a separator stands for a list."""

    pieces: tuple[str | Term, ...]
    separator: str = ""

    def __str__(self) -> str:
        # A literal that looks like a reference is none.
        shown = (
            piece.replace("${", "${!") if isinstance(piece, str) else f"${{{piece.name}}}" for piece in self.pieces
        )
        text = "".join(shown)
        return f"{text} (split at {self.separator!r})" if self.separator else text

    @property
    def is_list(self) -> bool:
        """Whether it stands for any number of texts."""
        return bool(self.separator) or any(isinstance(piece, Term) and piece.is_list for piece in self.pieces)

    @property
    def terms(self) -> list[Term]:
        """Its unknown pieces."""
        return [piece for piece in self.pieces if isinstance(piece, Term)]


@dataclass(frozen=True)
class Choice:
    """A value that depends on conditions; exactly one of the guards holds."""

    cases: tuple[tuple[Guard, Any], ...]


def alternatives(value: Any) -> Iterator[tuple[Guard, Any]]:
    """Iterate over what a value can be, on its first level."""
    if not isinstance(value, Choice):
        yield ALWAYS, value
        return
    for guard, case in value.cases:
        for inner, result in alternatives(case):
            if (joined := both(guard, inner)) != NEVER:
                yield joined, result


def items(value: Any) -> Iterator[tuple[Guard, Any]]:
    """Iterate over the members of an element that may be one or a list, on the first level."""
    for guard, case in alternatives(value):
        if case is NOTHING:
            continue
        for member in case if isinstance(case, list) else [case]:
            if member is case:
                yield guard, member
            else:
                for inner, found in items(member):
                    if (joined := both(guard, inner)) != NEVER:
                        yield joined, found


def cases(value: Any, given: Guard = ALWAYS, limit: int = 256) -> list[tuple[Guard, Any]]:
    """Return what a value can be, on all levels.

    Raises:
        TooManyCasesError: There are more of them than anyone can compare.
    """
    found: list[tuple[Guard, Any]] = []
    for guard, case in alternatives(value):
        if (joined := both(given, guard)) == NEVER:
            continue
        found += _members(case, joined, limit) if isinstance(case, dict | list) else [(joined, case)]
        if len(found) > limit:
            raise TooManyCasesError(f"more than {limit} cases of one value")
    return found


def _members(value: dict[str, Any] | list[Any], given: Guard, limit: int) -> list[tuple[Guard, Any]]:
    partial: list[tuple[Guard, dict[Any, Any]]] = [(given, {})]
    for key, member in value.items() if isinstance(value, dict) else enumerate(value):
        partial = [
            (after, done if item is NOTHING else {**done, key: item})
            for before, done in partial
            for after, item in cases(member, before, limit)
        ]
    return [(when, done if isinstance(value, dict) else [*done.values()]) for when, done in partial]


class TooManyCasesError(Exception):
    """A value depends on too many conditions at once."""


def plain(value: Any) -> Any:
    """Return a value with opaque texts as texts; of choices, what they choose from."""
    match value:
        case Opaque():
            return str(value)
        case Choice():
            return {"one of": [[str(guard), plain(case)] for guard, case in value.cases]}
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case str():
            return value.replace("${", "${!")
        case _:
            return None if value is NOTHING else value


def mapped(value: Any, change: Callable[[str], Any]) -> Any:
    """Return a value with each literal text in it changed, in every case, and each literal piece of its other texts."""
    match value:
        case str():
            return change(value)
        case Opaque():
            return Opaque(tuple(change(p) if isinstance(p, str) else p for p in value.pieces), value.separator)
        case Choice():
            return Choice(tuple((guard, mapped(case, change)) for guard, case in value.cases))
        case list():
            return [mapped(item, change) for item in value]
        case dict():
            return {key: mapped(item, change) for key, item in value.items()}
    return value


def opaques(value: Any) -> Iterator[Opaque]:
    """Find the opaque texts in a value."""
    match value:
        case Opaque():
            yield value
        case Choice():
            for _, case in value.cases:
                yield from opaques(case)
        case list():
            for item in value:
                yield from opaques(item)
        case dict():
            for item in value.values():
                yield from opaques(item)


def literal_name(resource: Mapping[str, Any]) -> str:
    """Return the name that a resource has by its properties; empty if it has none, or none that the template knows."""
    named = (resource.get("Properties") or {}).get(RESOURCES.get(resource["Type"], {}).get("name", ""))
    return named if isinstance(named, str) and "{{resolve:" not in named else ""


class Template:
    """A transformed template whose functions are resolved as far as its own text decides."""

    def __init__(
        self,
        template: Mapping[str, Any],
        values: Mapping[str, Any],
        account: str,
        region: str,
        named: Mapping[str, str] | None = None,
        physical: Mapping[str, str] | None = None,
    ) -> None:
        """Read a template, given the values of some of its parameters and the names of some of its resources.

        `physical` is all that `Ref` and `GetAtt` of its resources mean; what it lacks stays as it is written.
        """
        self.resources: Mapping[str, Any] = template["Resources"]
        self.declared: Mapping[str, Any] = template.get("Parameters") or {}
        self.outputs: Mapping[str, Any] = template.get("Outputs") or {}
        self.rules: Mapping[str, Any] = template.get("Rules") or {}
        self._conditions: Mapping[str, Any] = template.get("Conditions") or {}
        self._mappings: Mapping[str, Any] = template.get("Mappings") or {}
        self._values = values
        self._guards: dict[str, Guard] = {}
        self.account = account
        self.region = region
        self._named = named or {}
        self._physical = physical
        # What must hold for the template to be deployed at all: a mapping has the key that is looked for.
        self.needed: list[Guard] = []

    def condition(self, name: str) -> Guard:
        """Return a condition by its name."""
        if name not in self._guards:
            self._guards[name] = ("is", f"condition {name}", "true")  # what it is if it refers to itself
            if name in self._conditions:
                self._guards[name] = self.guard(self._conditions[name])
        return self._guards[name]

    def exists(self, logical_id: str) -> Guard:
        """Return when there is a resource."""
        resource = self.resources.get(logical_id)
        if resource is None:
            return NEVER
        return self.condition(resource["Condition"]) if "Condition" in resource else ALWAYS

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return the resolved properties of a resource."""
        return {
            name: found
            for name, value in self.resources[logical_id].get("Properties", {}).items()
            if (found := self.resolve(value)) is not NOTHING
        }

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What `Ref` and `GetAtt` of its own resources mean, where a literal can stand for it."""
        if self._physical is not None:
            return self._physical
        found: dict[str, str] = {}
        for logical_id, resource in self.resources.items():
            kind = resource["Type"]
            physical = self._named.get(logical_id, logical_id)
            if kind in {"AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api"}:
                physical = logical_id.lower()
            found[logical_id] = physical
            if made := RESOURCES.get(kind, {}).get("arn"):
                # Without its path: a role that moves is the same role.
                arn = made.format(region=self.region, account=self.account, id=physical)
                found[f"{logical_id}.Arn"] = arn
                for attribute in ("TopicArn", "RepositoryArn"):
                    found[f"{logical_id}.{attribute}"] = arn
                if "ref" in RESOURCES[kind]:
                    found[logical_id] = arn
            if kind == "AWS::IAM::Role":
                unique = hashlib.sha256(logical_id.encode()).hexdigest()[:17].upper()
                found[f"{logical_id}.RoleId"] = f"AROA{unique}"
        for logical_id, resource in self.resources.items():
            if resource["Type"] in {"AWS::Lambda::Alias", "AWS::Lambda::Version"}:
                of = next(references((resource.get("Properties") or {}).get("FunctionName")), "")
                found[logical_id] = f"{found.get(f'{of}.Arn', of)}:{logical_id}"
        return found

    def resolve(self, value: Any) -> Any:
        """Resolve a value."""
        return self._resolve(value, symbolic=False)

    def _resolve(self, value: Any, *, symbolic: bool) -> Any:
        if isinstance(value, list):
            found = [self._resolve(item, symbolic=symbolic) for item in value]
            return [item for item in found if item is not NOTHING]
        if isinstance(value, str):
            return Opaque((Term(value),)) if "{{resolve:" in value else value
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, argument, symbolic=symbolic)
        pairs = {key: self._resolve(item, symbolic=symbolic) for key, item in value.items()}
        return {key: item for key, item in pairs.items() if item is not NOTHING}

    def _function(self, name: str, argument: Any, *, symbolic: bool) -> Any:
        try:
            match name:
                case "Ref":
                    return self._ref(str(argument), symbolic=symbolic)
                case "Fn::GetAtt":
                    parts = argument.split(".", 1) if isinstance(argument, str) else argument
                    if not all(isinstance(part, str) for part in parts):
                        return self._unknown(name, argument)
                    return self._attribute(".".join(parts))
                case "Fn::Sub":
                    return self._sub(argument, symbolic=symbolic)
                case "Fn::If":
                    condition, if_true, if_false = argument
                    guard = self.condition(condition)
                    branches = [(guard, if_true), (negated(guard), if_false)]
                    kept = [(when, self._resolve(item, symbolic=symbolic)) for when, item in branches if when != NEVER]
                    return kept[0][1] if len(kept) == 1 or kept[0][1] == kept[1][1] else Choice(tuple(kept))
                case "Fn::FindInMap":
                    return self._find(argument)
                case "Fn::Join" | "Fn::Split" | "Fn::Select":
                    resolved = self._resolve(argument, symbolic=symbolic)
                    return _choice((guard, _TEXT_FUNCTIONS[name](*given)) for guard, given in cases(resolved))
        except (TypeError, ValueError, IndexError, KeyError, AttributeError):
            pass
        return self._unknown(name, argument)

    def _unknown(self, name: str, argument: Any) -> Any:
        """Return what a function's value is called that nothing here decides."""
        resolved = plain(self._resolve(argument, symbolic=True))
        return Opaque((Term(f"{name.removeprefix('Fn::')} {json.dumps(resolved, sort_keys=True, default=str)}"),))

    def _ref(self, name: str, *, symbolic: bool) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name.startswith("AWS::"):
            if symbolic and name not in self._values:
                return Opaque((Term(name, frozenset({name})),))
            return self._pseudo(name)
        if name in self.declared:
            return self._parameter(name, symbolic=symbolic)
        if name in self.resources:
            return self._attribute(name)
        return Opaque((Term(f"Ref {name}"),))

    def _pseudo(self, name: str) -> Any:
        region = self._values.get("AWS::Region", self.region)
        stack = f"arn:aws:cloudformation:{region}:{self.account}:stack/stack/0a1b2c3d-5e6f"
        known = {
            "AWS::AccountId": self.account,
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": stack,
            "AWS::StackName": "stack",
            "AWS::URLSuffix": "amazonaws.com",
        }
        return self._values.get(name) or known.get(name) or Opaque((Term(name),))

    def _parameter(self, name: str, *, symbolic: bool) -> Any:
        declaration = self.declared[name]
        kind = str(declaration.get("Type", "String"))
        is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
        if name in self._values and not kind.startswith("AWS::SSM::"):
            value = self._values[name]
            return [item.strip() for item in value.split(",")] if is_list and isinstance(value, str) else value
        allowed = list(map(text_of, declaration.get("AllowedValues") or []))
        if not symbolic and not is_list and kind == "String" and 0 < len(allowed) <= 8:
            return Choice(tuple((("is", name, value), value) for value in allowed))
        # The type is part of the name: another type is another value.
        title = name if kind in {"String", "CommaDelimitedList"} else f"{name} ({kind})"
        return Opaque((Term(title, frozenset({name}), is_list),))

    def _attribute(self, name: str) -> Any:
        logical_id = name.partition(".")[0]
        resource = self.resources.get(logical_id)
        if resource is None or (resource["Type"].startswith(_FOREIGN) and "." in name):
            return Opaque((Term(name),))
        return self.names.get(name, name)

    def _sub(self, argument: Any, *, symbolic: bool) -> Any:
        text, extra = (argument, {}) if isinstance(argument, str) else argument
        known = {key: self._resolve(item, symbolic=symbolic) for key, item in extra.items()}
        pieces: list[Any] = []
        for index, piece in enumerate(re.split(r"\$\{([\w.:\s]+)\}", text)):
            if index % 2 == 0:
                literal = piece.replace("${!", "${")
                pieces.append(Opaque((Term(literal),)) if "{{resolve:" in literal else literal)
            elif (key := piece.strip()) in known:
                pieces.append(known[key])
            elif "." in key:
                pieces.append(self._attribute(key))
            else:
                pieces.append(self._ref(key, symbolic=symbolic))
        return _choice((guard, _join("", given)) for guard, given in cases([piece for piece in pieces if piece != ""]))

    def _find(self, argument: Any) -> Any:
        given = [self._resolve(item, symbolic=True) for item in argument[:3]]
        results: list[tuple[Guard, Any]] = []
        for guard, (table, *keys) in cases(given):
            found: list[tuple[Guard, Any]] = [(guard, self._mappings[table])]
            for key in keys:
                found = [
                    (both(when, _equals(key, name)), below) for when, level in found for name, below in level.items()
                ]
            results += [(when, self.resolve(value)) for when, value in found if when != NEVER]
        if len(argument) > 3:
            rest = negated(either(*(when for when, _ in results)))
            default = self.resolve(argument[3].get("DefaultValue", NOTHING))
            results += [] if rest == NEVER else [(rest, default)]
        elif results:
            self.needed.append(either(*(when for when, _ in results)))
        return results[0][1] if len(results) == 1 and results[0][0] == ALWAYS else Choice(tuple(results))

    # --- Conditions and rules -----------------------------------------------------------------------------------------

    def guard(self, value: Any) -> Guard:
        """Return a condition, or the assertion of a rule."""
        if isinstance(value, dict) and len(value) == 1:
            ((name, argument),) = value.items()
            match name:
                case "Condition":
                    return self.condition(argument)
                case "Fn::And":
                    return both(*map(self.guard, argument))
                case "Fn::Or":
                    return either(*map(self.guard, argument))
                case "Fn::Not":
                    return negated(self.guard(argument[0]))
                case "Fn::Equals":
                    left, right = (self._resolve(item, symbolic=True) for item in argument)
                    return _compared(left, right)
                case "Fn::Contains":
                    members, one = (self._resolve(item, symbolic=True) for item in argument)
                    if isinstance(members, list):
                        return either(*(_compared(member, one) for member in members))
                case "Fn::EachMemberIn":
                    members, among = (self._resolve(item, symbolic=True) for item in argument)
                    if isinstance(members, list) and isinstance(among, list):
                        return both(*(either(*(_compared(member, other) for other in among)) for member in members))
                    if among == [""] and isinstance(members, Opaque):
                        return _equals(members, "")
        resolved = plain(self._resolve(value, symbolic=True))
        return ("is", json.dumps(resolved, sort_keys=True, default=str), "true")

    def rule(self, name: str) -> Guard:
        """Return when a rule accepts the parameters."""
        rule = self.rules[name]
        applies = self.guard(rule["RuleCondition"]) if "RuleCondition" in rule else ALWAYS
        asserted = both(*(self.guard(assertion["Assert"]) for assertion in rule.get("Assertions", [])))
        return either(negated(applies), asserted)


def _choice(results: Iterable[tuple[Guard, Any]]) -> Any:
    found = tuple(results)
    return found[0][1] if len(found) == 1 else Choice(found)


def _compared(left: Any, right: Any) -> Guard:
    return either(
        *(both(guard, _equals(*values)) for guard, values in cases([left, right]) if len(values) == 2),
    )


def _equals(left: Any, right: Any) -> Guard:
    left, right = text_of(left), text_of(right)
    if isinstance(left, str) and isinstance(right, str):
        return ALWAYS if left == right else NEVER
    if isinstance(left, str):
        left, right = right, left
    if left == right:
        return ALWAYS
    if not isinstance(left, Opaque):
        return ("is", json.dumps([plain(left), plain(right)], sort_keys=True, default=str), "equal")
    if isinstance(right, str):
        # A joined list is empty if the list is.
        return ("is", _JOINED.sub("", str(left)) if right == "" else _bare(left), right)
    one, other = sorted([str(left), str(right)])
    return ("is", one, f"equal to {other}")


_JOINED = re.compile(r"^\$\{Join '[^']*' |\}$|^\$\{")


def _bare(text: Opaque) -> str:
    only = text.pieces[0] if len(text.pieces) == 1 and not text.separator else None
    return only.name if isinstance(only, Term) else str(text)


def _join(delimiter: str, members: Any) -> Any:
    if isinstance(members, Opaque):
        if not members.is_list:
            return members
        return Opaque((Term(f"Join '{delimiter}' {_bare(members)}", _parameters(members)),))
    pieces: list[str | Term] = []
    for index, member in enumerate(map(text_of, members)):
        if index:
            pieces.append(delimiter)
        if isinstance(member, Opaque):
            pieces += _join(delimiter, member).pieces
        elif isinstance(member, str):
            pieces.append(member)
        else:
            raise TypeError(member)
    return _text(pieces)


def _text(pieces: Iterable[str | Term], separator: str = "") -> Any:
    merged: list[str | Term] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    if all(isinstance(piece, str) for piece in merged):
        return "".join(map(str, merged))
    return Opaque(tuple(merged), separator)


def _split(delimiter: str, text: Any) -> Any:
    if isinstance(text, str):
        return text.split(delimiter)
    if not isinstance(text, Opaque):
        raise TypeError(text)
    found: list[list[str | Term]] = [[]]
    for piece in text.pieces:
        if isinstance(piece, str):
            first, *rest = piece.split(delimiter)
            found[-1].append(first)
            found += [[part] for part in rest]
        else:
            found[-1].append(piece)
    return [_text(part, delimiter) for part in found]


def _select(index: Any, members: Any) -> Any:
    number = int(index)
    if isinstance(members, list) and not any(isinstance(item, Opaque) and item.is_list for item in members[:number]):
        chosen = members[number]
        if not (isinstance(chosen, Opaque) and chosen.is_list):
            return chosen
    listed = members if isinstance(members, list) else [members]
    parameters = frozenset(name for item in opaques(listed) for name in _parameters(item))
    return Opaque((Term(f"Select {number} {json.dumps(plain(listed))}", parameters),))


def _parameters(text: Opaque) -> frozenset[str]:
    known = [term.parameters for term in text.terms]
    return frozenset().union(*known) if all(known) else frozenset()


_TEXT_FUNCTIONS: dict[str, Callable[..., Any]] = {"Fn::Join": _join, "Fn::Split": _split, "Fn::Select": _select}


class Conditions:
    """The conditions of both revisions as formulas, and what is known of the texts that they compare."""

    def __init__(self, declarations: Iterable[Mapping[str, Any]] = ()) -> None:
        """Take the declarations of the parameters: those that count, and then others."""
        self._declarations = list(declarations)
        self._atoms: dict[str, dict[str, Any]] = {}
        self._formulas: dict[Guard, Any] = {}
        self._assumed: list[Guard] = []

    def formula(self, guard: Guard) -> Any:
        """Return a condition as a formula."""
        if guard not in self._formulas:
            self._formulas[guard] = self._formula(guard)
        return self._formulas[guard]

    def _formula(self, guard: Guard) -> Any:
        match guard[0]:
            case "is":
                return self._atom(guard[1], guard[2])
            case "not":
                return no(self.formula(guard[1]))
            case "and":
                return all_of(*map(self.formula, guard[1:]))
        return any_of(*map(self.formula, guard[1:]))

    def _atom(self, term: str, literal: str) -> Any:
        declared = next((known[term] for known in self._declarations if term in known), None)
        if declared is not None and not admits(declared, literal):
            return FALSE
        return self._atoms.setdefault(term, {}).setdefault(literal, z3.Bool(f"{term} is {literal}"))

    def within(self, text: Opaque, pattern: str) -> bool:
        """Return whether the parameters' values in a text all match a pattern."""
        declared = [
            [known[name] for known in self._declarations if name in known]
            for term in text.terms
            for name in term.parameters or [""]
        ]
        return all(declared) and all(within(each, pattern) for one in declared for each in one)

    def assume(self, guard: Guard) -> None:
        """Leave out the values of parameters for which a condition does not hold."""
        self._assumed.append(guard)

    @property
    def laws(self) -> Any:
        """A text is at most one of the literals, and one of those that its parameter allows."""
        found = [self.formula(guard) for guard in self._assumed]
        for term, atoms in self._atoms.items():
            literals = [atom for literal, atom in atoms.items() if not literal.startswith("equal to ")]
            if len(literals) > 1:
                found.append(z3.AtMost(*literals, 1))
            declared: Mapping[str, Any] = next((known[term] for known in self._declarations if term in known), {})
            allowed = set(map(text_of, declared.get("AllowedValues") or []))
            if allowed and allowed <= set(atoms):
                found.append(any_of(*literals))
        return all_of(*found)

    @property
    def atoms(self) -> Mapping[str, Mapping[str, Any]]:
        """The comparisons that were asked for, by text and literal."""
        return self._atoms
