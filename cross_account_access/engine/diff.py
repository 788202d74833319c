"""Access that a change of templates adds or removes: two revisions, compared for every request and every parameter."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

import z3

from cross_account_access.engine import actions, languages, patterns, types
from cross_account_access.engine.case import Case
from cross_account_access.engine.evaluator import allowed, identity_allows, parts
from cross_account_access.engine.fields import FALSE, TRUE, NotModelledError, all_of, any_of, holds, no
from cross_account_access.engine.intrinsics import (
    ALWAYS,
    NOTHING,
    REGION,
    Conditions,
    Template,
    TooManyCasesError,
    literal_name,
    plain,
)
from cross_account_access.engine.languages import text_of
from cross_account_access.engine.patterns import TooManyCombinationsError
from cross_account_access.engine.policies import ADMINISTRATOR, Entry, Fact, Governed, Holder, Policies, parsed
from cross_account_access.engine.request import TOKENS, Kind, Request
from cross_account_access.engine.solver import UndecidedError, satisfied, solve
from cross_account_access.engine.sources import INCLUDED, EngineError, Source, digest, empty
from cross_account_access.engine.transform import StructureError, pairs, references, transformed

_MOST = 12
_ANYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html: who can assume a role.
_MAY_ASSUME = (Kind.SERVICE, Kind.WEB, Kind.SAML, Kind.ROLE, Kind.USER)
_HOLDING: tuple[Kind, ...] = (Kind.ROLE, Kind.USER)
_IAM = (Kind.ROLE, Kind.USER, Kind.ROOT, Kind.FEDERATED)
# Services that accept requests without a signature, if a policy says so.
_UNSIGNED = {"execute-api", "s3", "sns", "sqs"}
# What a policy governs below its resource.
_BELOW = {"dynamodb": ("/*",), "execute-api": ("/*/*/*",), "lambda": (":*",), "logs": (":*",), "s3": ("/*",)}
_SECTIONS = {
    *("AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Mappings", "Metadata", "Outputs"),
    *("Parameters", "Resources", "Rules", "Transform"),
}
# What the principal's own account allows, where its policies are not those of the template.
_ELSEWHERE = z3.Bool("its own account allows it")
_UNDECIDABLE = (NotModelledError, TooManyCasesError, TooManyCombinationsError, UndecidedError, z3.Z3Exception)


@dataclass(frozen=True)
class Change:
    """Access that one revision gives and the other does not."""

    gained: bool  # by the newer revision; else lost
    template: str
    who: str  # in words
    what: str  # in words
    witness: Case | None = None  # None where no policy is involved
    where: str = ""  # values of parameters that show it; empty if their defaults do
    before: str = ""  # why the older revision allows or refuses the witness
    after: str = ""
    decided_by: tuple[str, ...] = ()  # the statements that make the difference, by `document: Sid`
    more: int = 0  # changes alike that are left out


@dataclass(frozen=True)
class NotJudged:
    """Something that might be access, and of which nothing is known."""

    template: str
    name: str  # of a resource, parameter or output; empty for the template
    what: str
    type: str = ""  # of the resource


@dataclass(frozen=True)
class Report:
    """What was compared, and what came of it."""

    changes: tuple[Change, ...]  # gains first
    not_judged: tuple[NotJudged, ...]
    compared: Mapping[str, int]
    held_fixed: tuple[str, ...]
    accepted: tuple[NotJudged, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: nothing gained, and all judged; 1: something gained; 2: something not judged."""
        if any(change.gained for change in self.changes):
            return 1
        return 2 if self.not_judged else 0


HELD_FIXED = (
    "everything outside these templates: what other stacks and accounts grant, and the code that runs",
    "the account and the region, where a text names them: they are none that the templates name",
    "resources and definitions that both revisions have alike, with all they refer to",
)


def diff(base: Sequence[Source], head: Sequence[Source], *, accept: Collection[str] = ()) -> Report:
    """Compare two revisions of templates, each by its name; `accept` are resource types that may stay unjudged."""
    older, newer = ({source.name: source for source in sources} for sources in (base, head))
    changes: list[Change] = []
    unjudged: list[NotJudged] = []
    compared = {"templates": 0, "resources": 0, "statements": 0, "parameters": 0}
    for name in sorted(older.keys() | newer.keys()):
        pair = _Pair(older.get(name, empty(name)), newer.get(name, empty(name)))
        try:
            pair.compare()
        except Exception as error:  # a fault of this program is no verdict
            pair.not_judged.append(NotJudged(name, "", f"the comparison failed: {type(error).__name__}: {error}"))
        changes += pair.changes
        unjudged += pair.not_judged
        for what, count in pair.counts.items():
            compared[what] += count
    refused = tuple(dict.fromkeys(item for item in unjudged if item.type not in accept or not item.type))
    accepted = tuple(dict.fromkeys(item for item in unjudged if item not in refused))
    return Report(tuple(_grouped(changes)), refused, compared, HELD_FIXED, accepted)


@dataclass(frozen=True)
class _Question:
    """Something to compare: a topic, and what it is about."""

    topic: str
    name: str
    kind: Kind


@dataclass
class _Sides:
    """Both revisions, for given values of parameters."""

    base: Policies
    head: Policies
    conditions: Conditions

    @cached_property
    def both(self) -> tuple[Policies, Policies]:
        return self.base, self.head

    @cached_property
    def roles(self) -> dict[str, str]:
        """Unique ids of the templates' roles, by ARN."""
        return {
            side.template.names[f"{name}.Arn"]: side.template.names[f"{name}.RoleId"]
            for side in self.both
            for name, resource in side.template.resources.items()
            if resource["Type"] == "AWS::IAM::Role"
        }

    @cached_property
    def owners(self) -> dict[str, str]:
        """Logical ids by ARN, for words."""
        found: dict[str, str] = {}
        for side in self.both:
            for key, value in side.template.names.items():
                if value.startswith("arn:"):
                    found[value] = key.partition(".")[0]
        return found


@dataclass
class _Asked:
    """A question in formulas."""

    request: Request
    decisions: Sequence[Any]  # before and after
    domain: Any
    entries: Sequence[Sequence[Entry]]  # that decide, in each revision
    who: str = ""  # in words; by default derived from the witness
    what: str = ""  # in words; by default action and resource
    by_action: bool = True
    trust: bool = False
    resources: Sequence[str] = ()  # for witnesses
    directions: Sequence[bool] = (True, False)  # gains, losses


class _Pair:
    """One template in two revisions."""

    def __init__(self, base: Source, head: Source) -> None:
        self._sources = (base, head)
        self._name = head.name
        self.changes: list[Change] = []
        self.not_judged: list[NotJudged] = []
        self.counts = {"templates": 1, "resources": 0, "statements": 0, "parameters": 0}
        self._concrete: dict[str, _Sides] = {}
        self._raw: tuple[dict[str, Any], ...] = ()

    def compare(self, where: str = "") -> None:
        """Compare, once for each value of a parameter that decides about the template's structure."""
        try:
            self._compare()
        except StructureError as error:
            self._by_value(error.parameter)
        if where:
            joined = (", ".join(filter(None, (where, change.where))) for change in self.changes)
            self.changes = [replace(change, where=text) for change, text in zip(self.changes, joined, strict=True)]

    def _by_value(self, parameter: str) -> None:
        declared = [(source.template.get("Parameters") or {}).get(parameter, {}) for source in self._sources]
        values = dict.fromkeys(str(text_of(value)) for item in declared for value in item.get("AllowedValues") or [])
        if not values:
            self._refuse(parameter, f"SAM makes another template for another value of {parameter}")
            return
        cases = [(value, value) for value in values]
        before, after = map(_default, declared)
        if before is not None and after is not None and before != after:
            cases.append((before, after))
        for before, after in cases:
            sources = (
                replace(source, parameters={**source.parameters, parameter: value})
                for source, value in zip(self._sources, (before, after), strict=True)
            )
            pair = _Pair(*sources)
            pair.compare(f"{parameter} = {after}" + (f" instead of {before}, the defaults" if before != after else ""))
            self.changes += pair.changes
            self.not_judged += pair.not_judged
            self.counts = pair.counts

    def _compare(self) -> None:
        base, head = self._sources
        same_files = {path: digest(path, base.files) for path in _local(base.template)} == {
            path: digest(path, head.files) for path in _local(head.template)
        }
        if base.template == head.template and base.parameters == head.parameters and same_files:
            self.counts["resources"] = len(head.template["Resources"])
            self.counts["parameters"] = len(head.template.get("Parameters") or {})
            self.counts["statements"] = sum(key == "Effect" for key, _ in pairs(head.template))
            return
        try:
            self._raw = tuple(map(transformed, self._sources))
        except StructureError:
            raise
        except EngineError as error:
            self._refuse("", str(error))
            return
        if base.template.get("Transform") != head.template.get("Transform") and base.template["Resources"]:
            self._refuse("Transform", "other macros make the template")
        for section in sorted((set(base.template) | set(head.template)) - _SECTIONS):
            if base.template.get(section) != head.template.get(section):
                self._refuse(section, f"the section {section} of the template changed")
        self.counts["resources"] = len(self._raw[0]["Resources"].keys() | self._raw[1]["Resources"].keys())
        self.counts["parameters"] = len(self._declared(0).keys() | self._declared(1).keys())
        self._structure()
        try:
            sides = self._sides({}, {})
        except _UNDECIDABLE as error:
            self._refuse("", str(error))
            return
        self.counts["statements"] = sum(
            len(entry.statements)
            for table in (sides.head.holders, sides.head.trusts, sides.head.governed)
            for entry in table.values()
        )
        self._ask_all(sides, self._witnesses)
        self._parameters(sides)

    # --- Both revisions -----------------------------------------------------------------------------------------------

    def _declared(self, side: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._raw[side].get("Parameters") or {}
        return found

    @cached_property
    def _parameters_of_both(self) -> Mapping[str, Any]:
        return {**self._declared(0), **self._declared(1)}

    def _sides(self, base: Mapping[str, str], head: Mapping[str, str]) -> _Sides:
        key = json.dumps([base, head], sort_keys=True)
        if key not in self._concrete:
            policies = [
                Policies(
                    Template(
                        raw,
                        {**values, **source.parameters},
                        self._account,
                        values.get("AWS::Region", self._region),
                        self._names,
                    ),
                    source.watched,
                )
                for raw, source, values in zip(self._raw, self._sources, (base, head), strict=True)
            ]
            conditions = Conditions([self._declared(1), self._declared(0)])
            # The newer revision is what will be deployed.
            for guard in policies[1].template.needed:
                conditions.assume(guard)
            self._concrete[key] = _Sides(policies[0], policies[1], conditions)
        return self._concrete[key]

    @cached_property
    def _names(self) -> dict[str, str]:
        """Names that resources have in both revisions; a new name is another resource, with the same access."""
        older, newer = (raw["Resources"] for raw in self._raw)
        named = {name: literal_name(resource) for name, resource in newer.items()}
        return {
            name: text
            for name, text in named.items()
            if text
            and (name not in older or literal_name(older[name]) == text)
            and [*named.values(), *newer, *older].count(text) == 1
        }

    @cached_property
    def _text(self) -> str:
        return json.dumps([source.template for source in self._sources], default=str)

    @cached_property
    def _account(self) -> str:
        """An account that neither revision names and no example uses."""
        return next(account for digit in "134567890" if (account := digit * 12) not in self._text or digit == "0")

    @cached_property
    def _region(self) -> str:
        """A region that neither revision names."""
        names = (REGION, "eu-north-1", "ap-south-2", "me-central-1")
        return next((name for name in names if name not in self._text), REGION)

    def _refuse(self, name: str, what: str, kind: str = "") -> None:
        self.not_judged.append(NotJudged(self._name, name, what, kind))

    # --- Resources, property by property ------------------------------------------------------------------------------

    def _structure(self) -> None:
        older, newer = (raw["Resources"] for raw in self._raw)
        for name in sorted(older.keys() | newer.keys()):
            before, after = older.get(name), newer.get(name)
            if before and after and before["Type"] != after["Type"]:
                self._resource(name, before, None)
                self._resource(name, None, after)
            else:
                self._resource(name, before, after)

    def _resource(self, name: str, before: Any, after: Any) -> None:
        kind = (after or before)["Type"]
        given = [(item or {}).get("Properties") or {} for item in (before, after)]
        change = types.Change.CHANGED if before and after else types.Change.NEW if after else types.Change.REMOVED
        stays = before and after and self._alike(before.get("Condition"), after.get("Condition"), "?")
        values = {key: [properties.get(key) for properties in given] for key in sorted({*given[0], *given[1]})}
        changed = {key: (old, new) for key, (old, new) in values.items() if not (stays and self._alike(old, new))}
        if not types.known(kind):
            if changed or not stays:
                self._refuse(name, f"{kind} is a type of which nothing is known here ({change.value})", kind)
            return
        for key, (old, new) in changed.items():
            use = types.classify(kind, key, old, new, change=change, own=self._raw[1]["Resources"])
            if use is types.Use.NOT_JUDGED:
                how = "has changed" if change is types.Change.CHANGED else change.value
                self._refuse(name, f"{key} of {kind} {how}", kind)

    def _alike(self, before: Any, after: Any, kind: str = "") -> bool:
        """Return whether a value and all definitions that it refers to are the same in both revisions."""
        if before != after:
            return False
        if kind and before is not None:
            before = {"Condition": before}
        return self._definitions(before, 0) == self._definitions(before, 1)

    def _definitions(self, value: Any, side: int) -> dict[str, Any]:
        raw = self._raw[side]
        found: dict[str, Any] = {}
        todo = list(references(value))
        while todo:
            name = todo.pop()
            if name in found:
                continue
            if name.startswith("?"):
                definition = (raw.get("Conditions") or {}).get(name[1:])
                todo += references(definition)
            elif name.startswith("#"):
                definition = (raw.get("Mappings") or {}).get(name[1:])
            else:
                definition = (self._declared(side).get(name) or {}).get("Type")
            found[name] = definition
        return found

    # --- Questions ----------------------------------------------------------------------------------------------------

    def _ask_all(self, sides: _Sides, answer: Callable[[_Sides, _Question], Iterator[Change]]) -> None:
        for question in self._questions(sides):
            try:
                self.changes += answer(sides, question)
            except _UNDECIDABLE as error:
                self._refuse(question.name, f"{question.topic} of {question.name}: {error}")
        for name, text in sorted(sides.head.unread - sides.base.unread):
            self._refuse(name, f"{name} is defined by what cannot be read here: {text[:200]}")
        try:
            self.changes += self._facts(sides)
        except _UNDECIDABLE as error:
            self._refuse("", str(error))

    def _questions(self, sides: _Sides) -> Iterator[_Question]:
        base, head = sides.both
        for name in sorted(base.trusts.keys() | head.trusts.keys()):
            if _changed(base.trusts.get(name), head.trusts.get(name)):
                yield from (_Question("trust", name, kind) for kind in _MAY_ASSUME)
        for name in sorted(base.holders.keys() | head.holders.keys()):
            before, after = base.holders.get(name), head.holders.get(name)
            if name.startswith("policy ") and not name.startswith("policy named ") and not (before and after):
                continue  # nobody has it but those to whom it is attached, who are compared on their own
            if _changed(before, after):
                kind = (after or before or Holder("", Kind.ROLE)).kind
                topics = ["identity"]
                if _denials(before) != _denials(after) and not (name in head.template.resources and not before):
                    topics.append("denial")
                # Users as well as roles can have a policy.
                kinds_ = _HOLDING if name.startswith("policy ") else (kind,)
                yield from (_Question(topic, name, of) for topic in topics for of in kinds_)
                if before and after and before.boundaries != after.boundaries:
                    yield _Question("boundary", name, kind)
        for name in sorted(base.governed.keys() | head.governed.keys()):
            before_, after_ = base.governed.get(name), head.governed.get(name)
            service = (after_ or before_ or Governed("", "")).service
            is_gone = name in base.template.resources and name not in head.template.resources
            if not is_gone and _changed(before_, after_):
                kinds = (Kind.ANONYMOUS, Kind.SERVICE, *_IAM) if service in _UNSIGNED else (Kind.SERVICE, *_IAM)
                yield from (_Question("resource", name, kind) for kind in kinds)
            if service == "execute-api" and not is_gone and self._opened(sides, name):
                yield from (_Question("route", name, kind) for kind in (Kind.ROLE, Kind.USER))
        for name in sorted(head.template.outputs):
            if _output_policy(base, name) != _output_policy(head, name) and _output_policy(head, name) is not None:
                yield from (_Question("output", name, kind) for kind in (Kind.SERVICE, *_IAM))

    def _opened(self, sides: _Sides, api: str) -> list[tuple[Fact, Any]]:
        """Return the signed routes of an API, and when the older revision does not have them."""
        found = []
        for fact in sides.head.facts:
            if fact.key[:2] == ("route", api) and fact.key[3] == "AWS_IAM":
                guards = [other.there for other in sides.base.facts if other.key in {fact.key, fact.implied_by}]
                if fact.there not in guards:
                    formula = sides.conditions.formula
                    found.append((fact, all_of(formula(fact.there), no(any_of(*map(formula, guards))))))
        return found

    def _asked(self, sides: _Sides, question: _Question) -> _Asked:
        """Return the formulas of a question."""
        request = Request(question.kind, sides.roles, conditions=sides.conditions)
        how = {
            "trust": self._trust,
            "identity": self._identity,
            "boundary": self._identity,
            "denial": self._identity,
            "resource": self._resource_policy,
            "route": self._route,
            "output": self._output,
        }[question.topic]
        return how(sides, question, request)

    def _trust(self, sides: _Sides, question: _Question, request: Request) -> _Asked:
        roles = [side.trusts.get(question.name) for side in sides.both]
        arn = next(role.arn for role in reversed(roles) if role)
        decisions = [
            all_of(
                sides.conditions.formula(role.there),
                allowed(request, role.statements, owner=self._account, identity=_ELSEWHERE, trust=True),
            )
            if role
            else FALSE
            for role in roles
        ]
        assumes = request.action.like(TOKENS.get(question.kind, "sts:assumerole"))
        tags = request.action.like("sts:tagsession", "sts:setsourceidentity", "sts:setcontext")
        domain = all_of(request.resource.equals(arn), any_of(assumes, tags))
        entries = [role.statements if role else [] for role in roles]
        return _Asked(request, decisions, domain, entries, trust=True, resources=[arn])

    def _identity(self, sides: _Sides, question: _Question, request: Request) -> _Asked:
        holders = [side.holders.get(question.name) for side in sides.both]
        some = next(holder for holder in reversed(holders) if holder)
        is_it = (
            request.is_session_of(some.arn) if some.arn and question.kind is Kind.ROLE else request.is_of(self._account)
        )
        limits = [_limit(request, holder) if holder else FALSE for holder in holders]
        if question.topic == "boundary":
            what = "go beyond the permissions boundary"
            return _Asked(request, limits, is_it, ([], []), some.who, what, by_action=False)
        entries = [list(holder.statements) if holder else [] for holder in holders]
        more_or_less = [*holders]
        if question.topic == "denial":
            # What it may do is not all here: other policies, and those of resources, may give it anything.
            for statements in entries:
                statements.append((ALWAYS, _ANYTHING, "what else it has"))
            limits = [limit if holder else TRUE for limit, holder in zip(limits, holders, strict=True)]
            more_or_less = [some, some]
        decisions = [
            all_of(limit, identity_allows(request, statements)) if holder else FALSE
            for limit, statements, holder in zip(limits, entries, more_or_less, strict=True)
        ]
        # A Deny more takes something away from those only who have something that is not here.
        elsewhere = some.managed or question.name not in sides.head.template.resources
        directions = (True, False) if elsewhere or question.topic != "denial" else (True,)
        return _Asked(request, decisions, is_it, entries, some.who, directions=directions)

    def _resource_policy(self, sides: _Sides, question: _Question, request: Request) -> _Asked:
        found = [side.governed.get(question.name) for side in sides.both]
        some = next(governed for governed in reversed(found) if governed)
        decisions = []
        for side, governed in zip(sides.both, found, strict=True):
            own = question.name in side.template.resources
            there = side.template.exists(question.name) if own or some.arn else ALWAYS
            policy = governed.statements if governed else []
            decision = allowed(request, policy, owner=self._account, identity=_ELSEWHERE, trust=some.needed)
            if request.kind is Kind.ANONYMOUS and some.service == "execute-api":
                unsigned = (
                    fact.there
                    for fact in side.facts
                    if fact.key[:2] == ("route", question.name) and fact.key[3] != "AWS_IAM"
                )
                decision = all_of(decision, any_of(*map(sides.conditions.formula, unsigned)))
            decisions.append(all_of(sides.conditions.formula(there), decision))
        domain = request.action.like(f"{some.service}:*")
        if some.arn:
            bare = some.arn.removesuffix(":*")
            below = [f"{bare}{rest}" for rest in _BELOW.get(some.service, ())]
            itself = [] if some.service == "execute-api" else [bare]
            domain = all_of(domain, request.resource.like(*itself, *below))
        if question.name in sides.head.template.resources:
            # A new resource gives its own account nothing that it could not make for itself.
            existed = sides.conditions.formula(sides.base.template.exists(question.name))
            domain = all_of(domain, any_of(existed, no(request.is_of(self._account))))
        entries = [governed.statements if governed else [] for governed in found]
        resources = (
            [some.arn, f"{some.arn}/stage/GET/path"] if some.service == "execute-api" else [some.arn, f"{some.arn}/key"]
        )
        return _Asked(request, decisions, domain, entries, resources=resources if some.arn else ())

    def _route(self, sides: _Sides, question: _Question, request: Request) -> _Asked:
        """Ask who may call routes that are new: own roles by their own policies, others by the API's."""
        head = sides.head
        arn = head.template.names.get(f"{question.name}.Arn", "")
        governed = head.governed.get(question.name)
        policy = governed.statements if governed else []
        on_route, examples = [], []
        for fact, there in self._opened(sides, question.name):
            method, _, path = fact.key[2].partition(" ")
            place = (*patterns.literal(f"{arn}/"), *patterns.SEGMENT, *patterns.literal("/"))
            calls = request.resource.matches(place + patterns.route(method, path))
            on_route.append(all_of(there, calls))
            stage = next((fact.key[2] for fact in head.facts if fact.key[:2] == ("stage", question.name)), "stage")
            examples.append(f"{arn}/{stage}/{'GET' if method == 'ANY' else method}{re.sub(r'[{}+]', '', path)}")
        own = [
            all_of(
                request.is_session_of(holder.arn), _limit(request, holder), identity_allows(request, holder.statements)
            )
            for holder in head.holders.values()
            if question.kind is Kind.ROLE and holder.arn and holder.statements
        ]
        outside = no(request.is_of(self._account))
        identity = any_of(outside, *own)
        decision = allowed(request, policy, owner=self._account, identity=identity)
        domain = all_of(
            request.action.equals("execute-api:invoke"),
            any_of(*on_route),
            any_of(outside, *map(request.is_session_of, sides.roles)),
        )
        return _Asked(request, [FALSE, decision], domain, ([], policy), resources=examples)

    def _output(self, sides: _Sides, question: _Question, request: Request) -> _Asked:
        entries: list[list[Entry]] = []
        for side in sides.both:
            document = _output_policy(side, question.name)
            listed = document if isinstance(document, list) else [document]
            found = {"Version": "2012-10-17", "Statement": [item for item in listed if item]}
            entries.append(list(side.entries_of(found, ALWAYS, f"output {question.name}")))
        decisions = [allowed(request, policy, owner=self._account, identity=_ELSEWHERE) for policy in entries]
        # A new one takes nothing away.
        if not entries[0]:
            decisions[0] = all_of(*decisions)
        what = f"{{action}} on what has the policy in the output {question.name}"
        return _Asked(request, decisions, TRUE, entries, what=what)

    # --- Answers ------------------------------------------------------------------------------------------------------

    def _witnesses(
        self, sides: _Sides, question: _Question, default: tuple[str, str, str] | None = None
    ) -> Iterator[Change]:
        """Compare for all values of all parameters at once; where there is a difference, find values that show it.

        A default that has changed is a parameter with its value in each revision.
        """
        asked = self._asked(sides, question)
        for gained in asked.directions:
            difference = _difference(asked, gained=gained)
            found = solve(asked.request, difference)
            if found is None:
                continue
            for values in self._values(sides, asked, difference, found):
                if shown := self._example(question, values, default, gained=gained):
                    yield from shown
                    break
            else:
                about = f"{question.topic} of {question.name}"
                texts = sorted({text for _, text in (*asked.request.texts, *asked.request.unread)})
                named = f"{', '.join(texts[:3])}{' and more' if len(texts) > 3 else ''}" or "parameters"
                if gained and default:
                    self._refuse(default[0], f"the default of {default[0]} has changed, and {about} depends on it")
                elif gained:
                    self._refuse(question.name, f"{about}: it depends on {named}")

    def _values(self, sides: _Sides, asked: _Asked, difference: Any, found: Any) -> Iterator[dict[str, str]]:
        """Choose values of the parameters with which there may be a difference."""
        yield from self._values_of(sides, found)
        # Which model the solver finds is chance. If it shows nothing, take the one that is nearest to the defaults.
        for name, atoms in sorted(sides.conditions.atoms.items()):
            default = self._usual(name)
            for literal, atom in sorted(atoms.items()):
                narrowed = all_of(difference, atom if literal == default else no(atom))
                if (nearer := solve(asked.request, narrowed)) is not None:
                    difference, found = narrowed, nearer
        yield from self._values_of(sides, found)

    def _example(
        self, question: _Question, values: dict[str, str], default: tuple[str, str, str] | None, *, gained: bool
    ) -> list[Change]:
        if default:
            name, before, after = default
            given = {**values, name: before}, {**values, name: after}
            return self._with_values(question, *given, gained=gained, where="")
        shown = self._with_values(question, values, values, gained=gained, where=self._where(values))
        few = self._few(question, values, gained=gained) if shown else values
        if few != values:
            shown = self._with_values(question, few, few, gained=gained, where=self._where(few)) or shown
        return shown

    def _with_values(
        self, question: _Question, base: Mapping[str, str], head: Mapping[str, str], *, gained: bool, where: str
    ) -> list[Change]:
        """Ask a question for given values; none of the answers is a proof that there is no other."""
        try:
            sides = self._sides(base, head)
            questions = [question]
            if not any(question.name in table for side in sides.both for table in side.tables):
                # It is named by a parameter.
                word = question.name.partition(" named ")[0]
                questions = [item for item in self._questions(sides) if item.name.startswith(f"{word} named ")]
            return [change for item in questions for change in self._shown(sides, item, gained=gained, where=where)]
        except _UNDECIDABLE:
            return []

    def _shown(self, sides: _Sides, question: _Question, *, gained: bool, where: str) -> Iterator[Change]:
        asked = self._asked(sides, question)
        request = asked.request
        remaining = _difference(asked, gained=gained)
        atoms = [*request.texts.values()], [*request.unread.values()]
        # What nothing here reads may match nothing or everything; a difference that needs more is not judged.
        none = all_of(*map(no, (*atoms[0], *atoms[1])))
        every = all_of(*map(no, atoms[0]), *atoms[1]) if atoms[1] else FALSE
        count = 0
        last: Change | None = None
        for uniform in (none, every):
            while count < 3 * _MOST:
                limited = all_of(remaining, uniform)
                found = solve(request, all_of(limited, self._preferred(asked))) or solve(request, limited)
                if found is None:
                    break
                count += 1
                case = self._case(asked, found)
                remaining = all_of(remaining, no(self._like(asked, case, found)))
                if count <= _MOST:
                    if last:
                        yield last
                    last = self._change(sides, asked, case, found, gained=gained, where=where)
        if last:
            yield replace(last, more=max(0, count - _MOST))

    def _preferred(self, asked: _Asked) -> Any:
        """Whether a request is one that is easily understood: on the resource itself, by nobody of the template."""
        if not asked.resources:
            return TRUE
        return any_of(*map(asked.request.resource.equals, asked.resources))

    def _case(self, asked: _Asked, found: Any) -> Case:
        statements = [statement for entries in asked.entries for _, statement, _ in entries]
        written = [text for one in statements for text in _texts(one.get("Action", one.get("NotAction", [])))]
        named = [text for one in statements for text in _texts(one.get("Resource", []))]
        literal = [action for action in written if not re.search(r"[*?]", action)]
        # An action fits the resource: the services of the actions that are written, else of the resources.
        services = dict.fromkeys(action.partition(":")[0].lower() for action in written if ":" in action)
        services |= dict.fromkeys(parts[2] for arn in named if len(parts := arn.split(":")) > 5 and parts[2] != "*")
        request = asked.request
        truth = request.action.truths(found)
        names = (name for service in services or {"": None} for name in actions.names(service))
        fitting = (name for name in chain(literal, names, actions.names()) if request.action.fits(name.lower(), truth))
        by_name = {name.lower(): name for name in islice(fitting, 1)}
        resources = [arn for arn in (*asked.resources, *named) if not re.search(r"[*?]", arn)]
        return request.witness(found, by_name, resources)

    def _like(self, asked: _Asked, case: Case, found: Any) -> Any:
        """Whether a request belongs to the same line of the result: same kind of caller, same kind of resource."""
        request = asked.request
        alike = [request.action.resembles(found), request.resource.resembles(found)] if asked.by_action else []
        if request.kind in {Kind.SERVICE, *TOKENS}:
            alike.append(request.service.resembles(found))
        elif request.is_iam and not asked.who:
            named = request.account.ids
            account = case.principal.account
            alike.append(named[account] if account in named else no(any_of(*named.values())))
        return all_of(*alike)

    def _change(self, sides: _Sides, asked: _Asked, case: Case, found: Any, *, gained: bool, where: str) -> Change:
        labels = [_applying(asked.request, entries, found, trust=asked.trust) for entries in asked.entries]
        (old_allow, old_deny), (new_allow, new_deny) = labels
        decisive = [
            *(label for label in (*new_allow, *new_deny) if label not in (*old_allow, *old_deny)),
            *(label for label in (*old_allow, *old_deny) if label not in (*new_allow, *new_deny)),
        ]
        resource = sides.owners.get(case.resource, case.resource)
        resource = "any resource" if resource == "other" else resource
        what = asked.what.replace("{action}", case.action) or (
            f"assume {resource}"
            if case.action.lower().startswith("sts:assumerole") and asked.trust
            else f"{case.action} on {resource}"
        )
        return Change(
            gained=gained,
            template=self._name,
            who=asked.who or self._who(sides, case, asked.request, found),
            what=what,
            witness=case,
            where=where,
            before=_reason(old_allow, old_deny, allowed=not gained),
            after=_reason(new_allow, new_deny, allowed=gained),
            decided_by=tuple(dict.fromkeys(decisive)),
        )

    def _who(self, sides: _Sides, case: Case, request: Request, found: Any) -> str:
        kind = request.kind
        if kind is Kind.ANONYMOUS:
            return "anyone on the internet"
        if kind is Kind.SERVICE:
            named = any(holds(found, atom) for atom in request.service.atoms)
            return f"the service {case.principal.arn}" if named else "any service"
        if kind in TOKENS:
            return f"identities of {request.service.value(found)}"
        if kind is Kind.ROLE and (own := sides.owners.get(case.principal.arn)):
            return f"sessions of {own}"
        account = case.principal.account
        of = (
            "this account"
            if account == self._account
            else f"account {account}"
            if account in request.account.ids
            else "any other account"
        )
        words = {
            Kind.ROLE: "roles",
            Kind.USER: "IAM users",
            Kind.ROOT: "the root user",
            Kind.FEDERATED: "federated users",
        }
        return f"{words[kind]} of {of}"

    # --- Values of parameters -----------------------------------------------------------------------------------------

    def _values_of(self, sides: _Sides, found: Any) -> Iterator[dict[str, str]]:
        """Choose values of the parameters: the defaults, then those that a difference asks for."""
        declared = self._parameters_of_both
        fixed = {**self._sources[0].parameters, **self._sources[1].parameters}
        tried = []
        for asked_for, sampled in ((False, False), (True, False), (True, True), (False, True), (True, None)):
            values: dict[str, str] = {}
            for name, declaration in declared.items():
                atoms = sides.conditions.atoms.get(name, {}) if asked_for else {}
                truths = {literal: holds(found, atom) for literal, atom in atoms.items()}
                is_it = next((literal for literal, truth in truths.items() if truth), None)
                but = frozenset(literal for literal, truth in truths.items() if not truth)
                default = _default(declaration)
                if name in fixed or str(declaration.get("Type", "")).startswith("AWS::SSM::"):
                    continue
                if is_it is not None:
                    values[name] = is_it
                elif (
                    default is not None and default not in but and not (sampled and languages.sample(declaration, but))
                ):
                    values[name] = default
                else:
                    value = languages.sample(declaration, but, account=sampled is None)
                    values[name] = value if value is not None else default if default is not None else "other"
            atoms = sides.conditions.atoms.get("AWS::Region", {}) if asked_for else {}
            if region := next((literal for literal, atom in atoms.items() if holds(found, atom)), None):
                values["AWS::Region"] = region
            elif "AWS::Region" in sides.conditions.atoms:
                values["AWS::Region"] = next(
                    name
                    for name in (self._region, "eu-south-1", "eu-south-2")
                    if name not in sides.conditions.atoms["AWS::Region"]
                )
            if values not in tried:
                tried.append(values)
                yield values

    def _few(self, question: _Question, values: dict[str, str], *, gained: bool) -> dict[str, str]:
        """Put back to their defaults the values of parameters that need no other one."""
        found = dict(values)
        for name, value in values.items():
            default = _default(self._parameters_of_both.get(name, {}))
            if default is not None and default != value:
                fewer = {**found, name: default}
                try:
                    asked = self._asked(self._sides(fewer, fewer), question)
                    matched = (*asked.request.texts.values(), *asked.request.unread.values())
                    limited = all_of(_difference(asked, gained=gained), *map(no, matched))
                    found = found if solve(asked.request, limited) is None else fewer
                except (KeyError, StopIteration, *_UNDECIDABLE):
                    continue
        return found

    def _usual(self, name: str) -> str | None:
        """Return the default of a parameter, or the region where the comparison takes place."""
        return self._region if name == "AWS::Region" else _default(self._parameters_of_both.get(name, {}))

    def _where(self, values: Mapping[str, str]) -> str:
        shown = []
        for name, value in values.items():
            usual = self._usual(name)
            if usual is not None and usual != value:
                shown.append(f"{name} = {value!r}" if value == "" else f"{name} = {value}")
        return ", ".join(shown)

    # --- What no policy states ----------------------------------------------------------------------------------------

    def _facts(self, sides: _Sides) -> Iterator[Change]:
        for gained, (older, newer) in ((True, sides.both), (False, sides.both[::-1])):
            for fact in newer.facts:
                if gained and fact.key[0] == "route" and fact.key[3] == "AWS_IAM" and fact.key[1] in newer.governed:
                    continue  # a question of its own
                if gained and fact.needs and not _had(older, fact.needs):
                    continue
                of_another = fact.key[0] in {"behind", "role", "stage"}
                if not gained and of_another and not _had(older, fact.needs or fact.key[1]):
                    continue
                if fact.measure and not any(other.key == fact.key for other in older.facts):
                    continue
                same = (
                    other.there
                    for other in older.facts
                    if other.key in {fact.key, fact.implied_by} and other.measure >= fact.measure
                )
                before = any_of(*map(sides.conditions.formula, same))
                there = all_of(sides.conditions.formula(fact.there), no(before))
                model = satisfied(there, sides.conditions.laws)
                if model is not None:
                    yield Change(gained, self._name, fact.who, fact.what, where=_atoms(sides.conditions, model, there))

    # --- Parameters, rules and outputs --------------------------------------------------------------------------------

    def _parameters(self, sides: _Sides) -> None:
        flows = [self._flows(side) for side in (0, 1)]
        modelled, unjudged = (flows[0][i] | flows[1][i] for i in (0, 1))
        for name in sorted(self._declared(0).keys() & self._declared(1).keys()):
            old, new = self._declared(0)[name], self._declared(1)[name]
            if name in modelled:
                self._admitted(name, old, new)
            before, after = _default(old), _default(new)
            if before == after or after is None or name in self._sources[1].parameters:
                continue
            if name in unjudged or (name in modelled and str(new.get("Type", "")).startswith("AWS::SSM::")):
                self._refuse(name, f"the default of {name} has changed, on which something depends that is not judged")
            if name in modelled and before is None:
                self.changes.append(
                    Change(True, self._name, "whoever the parameter admits", f"{name} has a default now: {after!r}")
                )
            elif name in modelled and before is not None:
                self._defaults(name, before, after)
        self._rules(sides, modelled)
        for name in sorted(self._raw[1].get("Outputs") or {}):
            old, new = ((raw.get("Outputs") or {}).get(name) or {} for raw in self._raw)
            if self._alike(old.get("Value"), new.get("Value")) or not old:
                continue
            text = json.dumps(new.get("Value"), default=str)
            if "Effect" in text and _output_policy(sides.head, name) is None:
                self._refuse(name, f"the output {name} seems to be a policy, and is none that can be read")
            if "Export" in new:
                self._refuse(name, f"the output {name}, which other stacks import, has changed")

    def _admitted(self, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        kinds = [str(item.get("Type", "String")) for item in (old, new)]
        if kinds[0] != kinds[1]:
            self._refuse(name, f"the parameter {name} is of type {kinds[1]} instead of {kinds[0]}")
            return
        for gained, one, other in ((True, old, new), (False, new, old)):
            try:
                value = languages.added(one, other)
            except languages.UnsupportedError as error:
                if gained:
                    self._refuse(name, f"the values that {name} admits cannot be compared: {error}")
                return
            if value is not None:
                what = f"{name} {'now' if gained else 'no longer'} admits {value!r}"
                self.changes.append(Change(gained, self._name, "whoever the parameter admits", what))
                return

    def _defaults(self, name: str, before: str, after: str) -> None:
        """Compare a default with the one that it replaces, whatever the other parameters are."""
        try:
            sides = self._sides({name: before}, {name: after})
        except _UNDECIDABLE as error:
            self._refuse(name, f"the default of {name} has changed: {error}")
            return
        known = {(change.gained, change.who, change.what) for change in self.changes}
        where = f"{name} = {after} instead of {before or repr(before)}, the defaults"

        start = len(self.changes)
        self._ask_all(sides, partial(self._witnesses, default=(name, before, after)))
        fresh = [replace(change, where=where) for change in self.changes[start:]]
        self.changes[start:] = [change for change in fresh if (change.gained, change.who, change.what) not in known]

    def _rules(self, sides: _Sides, modelled: Collection[str]) -> None:
        older, newer = (side.template.rules for side in sides.both)
        if older == newer:
            return
        try:
            before, after = (
                all_of(*(sides.conditions.formula(side.template.rule(name)) for name in side.template.rules))
                for side in sides.both
            )
            names = {name for side in (older, newer) for name in references(side)}
            if names & set(modelled) and satisfied(after, no(before), sides.conditions.laws) is not None:
                changed = [name for name in sorted(older) if older.get(name) != newer.get(name)]
                what = f"parameters that the rule {' or '.join(changed)} refused"
                self.changes.append(Change(True, self._name, "whoever the parameters admit", what))
        except (KeyError, TypeError, *_UNDECIDABLE) as error:
            self._refuse("Rules", f"the rules of the parameters have changed and cannot be compared: {error}")

    def _flows(self, side: int) -> tuple[set[str], set[str]]:
        """Return the parameters on which what is modelled depends, and those on which what is not judged does."""
        raw = self._raw[side]
        found: dict[types.Use, set[str]] = {use: set() for use in (types.Use.MODELLED, types.Use.NOT_JUDGED)}
        for resource in raw["Resources"].values():
            kind, uses = resource["Type"], set()
            for name, value in (resource.get("Properties") or {}).items():
                use = types.Use.NOT_JUDGED
                if types.known(kind):
                    use = types.classify(kind, name, None, value, own=raw["Resources"])
                if use in found:
                    uses.add(use)
                    found[use].update(self._definitions(value, side))
            for use in uses:
                found[use].update(self._definitions({"Condition": resource.get("Condition")}, side))
        modelled = found[types.Use.MODELLED]
        for output in (raw.get("Outputs") or {}).values():
            if "Effect" in json.dumps(output.get("Value"), default=str):
                modelled.update(self._definitions(output.get("Value"), side))
        for path in self._sources[side].watched:
            of, _, inside = path.partition(".")
            for resource in raw["Resources"].values():
                if resource["Type"] == of:
                    values = list(types.at(resource.get("Properties") or {}, inside))
                    modelled.update(self._definitions(values, side))
        declared = set(self._declared(side))
        return modelled & declared, found[types.Use.NOT_JUDGED] & declared


def _default(declaration: Mapping[str, Any]) -> str | None:
    """Return the default of a parameter as text."""
    value = declaration.get("Default")
    return None if value is None else str(text_of(value))


def _difference(asked: _Asked, *, gained: bool) -> Any:
    less, more = asked.decisions if gained else reversed(asked.decisions)
    return all_of(asked.domain, more, no(less))


def _limit(request: Request, holder: Holder) -> Any:
    """Whether a permissions boundary lets a request through."""
    if not holder.boundaries:
        return TRUE
    found = []
    for guard, limit in holder.boundaries:
        there = request.conditions.formula(guard)
        if limit is NOTHING or limit == ADMINISTRATOR:
            found.append(there)
        elif isinstance(limit, list):
            found.append(all_of(there, identity_allows(request, limit)))
        elif isinstance(limit, str):
            found.append(all_of(there, request.unknown("boundary", limit)))
        else:
            found.append(all_of(there, request.text("boundary", limit)))
    return any_of(*found)


def _bare(entries: Iterable[Entry]) -> list[Any]:
    """Return statements without their names."""
    return [(guard, {key: value for key, value in given.items() if key != "Sid"}) for guard, given, _ in entries]


def _changed(before: Holder | Governed | None, after: Holder | Governed | None) -> bool:
    """Return whether two revisions of a policy differ, the names of statements aside."""

    def content(item: Holder | Governed | None) -> Any:
        if isinstance(item, Holder):
            limits = [(guard, _bare(limit) if isinstance(limit, list) else limit) for guard, limit in item.boundaries]
            return _bare(item.statements), limits
        return item and (_bare(item.statements), item.there, item.arn)

    return bool(content(before) != content(after))


def _denials(holder: Holder | None) -> list[Any]:
    """Return what a holder's statements deny."""
    return [entry for entry in _bare(holder.statements if holder else []) if entry[1].get("Effect") == "Deny"]


def _had(side: Policies, needed: str) -> bool:
    if needed.startswith("route "):
        _, api, route = needed.split(" ", 2)
        return any(fact.key[:3] == ("route", api, route) for fact in side.facts)
    return needed in side.template.resources


def _output_policy(side: Policies, name: str) -> Any:
    """Return the statement or statements that an output holds as JSON; None if it holds none."""
    value = side.template.resolve((side.template.outputs.get(name) or {}).get("Value"))
    document = parsed(value) if not isinstance(value, Mapping) else value
    if isinstance(document, list) and all(isinstance(item, Mapping) and "Effect" in item for item in document):
        return document or None
    if isinstance(document, Mapping):
        return document if "Effect" in document else document.get("Statement")
    return None


def _applying(request: Request, entries: Iterable[Entry], found: Any, *, trust: bool) -> tuple[list[str], list[str]]:
    """Return the statements that apply to a witness, by effect."""
    effects: dict[str, list[str]] = {"Allow": [], "Deny": []}
    for guard, statement, label in entries:
        applies = all_of(request.conditions.formula(guard), *parts(statement, request, trust=trust).values())
        if holds(found, applies):
            effects[str(statement["Effect"])].append(label)
    return effects["Allow"], effects["Deny"]


def _reason(allowing: Sequence[str], denying: Sequence[str], *, allowed: bool) -> str:
    if allowed:
        return f"{' and '.join(dict.fromkeys(allowing)) or 'Its own account'} allows it."
    if denying:
        return f"{' and '.join(dict.fromkeys(denying))} denies it, whatever else allows it."
    return "Nothing allows it."


def _atoms(conditions: Conditions, model: Any, formula: Any) -> str:
    """Return the comparisons of parameters on which a formula depends, as they are in a model."""
    text = str(formula.sexpr()) if formula is not TRUE else ""
    return ", ".join(
        f"{term} {'=' if holds(model, atom) else '≠'} {literal or repr(literal)}"
        for term, atoms in conditions.atoms.items()
        for literal, atom in atoms.items()
        if str(atom) in text
    )


def _texts(value: Any) -> list[str]:
    shown = plain(value)
    return [item for item in (shown if isinstance(shown, list) else [shown]) if isinstance(item, str)]


def _local(template: Any) -> list[str]:
    """Return what may be the names of files beside the template."""
    return [item for key, item in pairs(template) if INCLUDED.fullmatch(key) and isinstance(item, str)]


def _grouped(changes: Iterable[Change]) -> Iterator[Change]:
    """Put gains first, the widest before the others, and leave out what a line above says already."""
    found: dict[tuple[bool, str, str, str], Change] = {}
    for change in changes:
        found.setdefault((change.gained, change.template, change.who, change.what), change)
    ordered = sorted(found.values(), key=lambda change: (not change.gained, change.template, _width(change)))
    kept: list[Change] = []
    for change in ordered:
        wider = next((other for other in kept if _covers(other, change)), None)
        if wider is None:
            kept.append(change)
        else:
            kept[kept.index(wider)] = replace(wider, more=wider.more + 1)
    yield from kept


def _width(change: Change) -> int:
    order = ("anyone on the internet", "any service", "roles of any other account", "IAM users of any other account")
    return order.index(change.who) if change.who in order else len(order) + (change.witness is None)


def _covers(wider: Change, change: Change) -> bool:
    """Return whether a line says what another one does: the same action, by people among those of the wider line."""
    if (wider.gained, wider.template, wider.what) != (change.gained, change.template, change.what):
        return False
    if wider.who == "anyone on the internet":
        return "service" not in change.who
    of = re.compile(r"(?:roles|IAM users|the root user|federated users) of (.*)")
    one, other = of.fullmatch(wider.who), of.fullmatch(change.who)
    return bool(one and other and one[1] in {"any other account", other[1]})
