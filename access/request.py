"""IAM's evaluation logic over symbolic requests, for z3.

Every field of a request is free within what AWS itself guarantees (`Request.guarantees`): principal, account, action,
resource and each condition key, present or not. What the logic does not model raises `NotModelledError`: a proof never
rests on a guess.

See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html for the logic and
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable for the principals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

import z3

from access import patterns
from access.patterns import Pattern

type Statement = Mapping[str, Any]

TRUE, FALSE = z3.BoolVal(True), z3.BoolVal(False)
_ELEMENTS = ("Principal", "Action", "Resource")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class NotModelledError(Exception):
    """A policy uses something of IAM that this logic does not model."""


class Kind(Enum):
    """The kinds of principals that make requests."""

    USER = "user"
    ROLE = "role session"
    ROOT = "root user"
    FEDERATED = "federated user"
    SERVICE = "service"
    ANONYMOUS = "anonymous"


class Field:
    """A free string of which nothing is known but which patterns it matches."""

    def __init__(self, name: str, alphabet: str = patterns.PRINTABLE, values: Sequence[str] = ()) -> None:
        """Make a field.

        Args:
            name: Its name, unlike that of any other field.
            alphabet: The characters that it may have.
            values: The only values that it may have, if it is not free.
        """
        self._name = name
        self._alphabet = alphabet
        self._values = values
        self._patterns: dict[Pattern, Any] = {}

    def like(self, *globs: str) -> Any:
        """Say when the field matches one of some patterns."""
        return z3.Or(*(TRUE if glob == "*" else self.matches(patterns.glob(glob)) for glob in globs))

    def arn_like(self, pattern: str) -> Any:
        """Say when the field matches the pattern of an ARN."""
        return self.matches(patterns.arn(pattern))

    def matches(self, pattern: Pattern) -> Any:
        """Say when the field matches a compiled pattern."""
        return self._patterns.setdefault(pattern, _atom(self._name, len(self._patterns)))

    @property
    def guarantees(self) -> Any:
        """The combinations of patterns that a string can match."""
        return _law(self._name, tuple(self._patterns), self._alphabet, tuple(self._values))

    def value(self, model: Any) -> str:
        """Return a string that fits a model of the solver."""
        truths = tuple(_holds(model, atom) for atom in self._patterns.values())
        return _combinations(tuple(self._patterns), self._alphabet, tuple(self._values))[truths]


@cache
def _law(name: str, among: tuple[Pattern, ...], alphabet: str, values: tuple[str, ...]) -> Any:
    """Say which combinations there are; kept, because formulas cost z3's Python interface more than solving them."""
    atoms = [(z3.Not(atom), atom) for atom in (_atom(name, index) for index in range(len(among)))]
    return z3.Or(
        *(
            z3.And(*(literals[truth] for literals, truth in zip(atoms, combination, strict=True)))
            for combination in _combinations(among, alphabet, values)
        )
    )


@cache
def _atom(name: str, index: int) -> Any:
    return z3.Bool(f"{name} matches {index}")


def _combinations(among: tuple[Pattern, ...], alphabet: str, values: tuple[str, ...]) -> dict[tuple[bool, ...], str]:
    if values:
        return {tuple(patterns.matches(value, pattern) for pattern in among): value for value in values}
    return patterns.combinations(among, alphabet)


class Account:
    """A free account id, of which nothing is known but which one of those that are named somewhere it is, if any."""

    def __init__(self, name: str) -> None:
        """Make an account id.

        Args:
            name: Its name, unlike that of any other.
        """
        self._name = name
        self.ids: dict[str, Any] = {}
        self._prefixes: dict[tuple[Field, str], Any] = {}

    def like(self, *globs: str) -> Any:
        """Say when it matches one of some patterns, each of them an id or `*`."""
        return z3.Or(*map(self._matches, globs))

    def _matches(self, glob: str) -> Any:
        if glob == "*":
            return TRUE
        if re.fullmatch("[0-9]{12}", glob):
            return self.ids.setdefault(glob, z3.Bool(f"{self._name} is {glob}"))
        if patterns.is_literal(glob) or not re.match("[0-9*?]", glob):
            return FALSE
        raise NotModelledError(f"account like {glob}")

    def begins(self, field: Field, text: str) -> Any:
        """Say when a field begins with this account and a text."""
        return self._prefixes.setdefault((field, text), z3.Bool(f"{self._name} begins {len(self._prefixes)}"))

    @property
    def guarantees(self) -> Any:
        """It is at most one of the ids, and stands for itself where a field begins with it."""
        laws = [z3.AtMost(*self.ids.values(), 1)] if self.ids else []
        for (field, text), begins in self._prefixes.items():
            named = {account: field.like(f"{account}{text}*") for account in self.ids}
            # A field that begins with an id that nothing names may carry this one, if nothing names it either.
            same = z3.Bool(f"{self._name} same in {id(field)}")
            unnamed = z3.And(field.matches(patterns.account_then(text)), z3.Not(z3.Or(*named.values())))
            cases = [z3.And(self.ids[account], carried) for account, carried in named.items()]
            laws.append(begins == z3.Or(*cases, z3.And(z3.Not(z3.Or(*self.ids.values())), unnamed, same)))
        return z3.And(*laws)

    def value(self, model: Any) -> str:
        """Return an id that fits a model of the solver."""
        for account, is_it in self.ids.items():
            if _holds(model, is_it):
                return account
        for (field, _), begins in self._prefixes.items():
            if _holds(model, begins):
                return field.value(model)[:12]
        return "999999999999"


@dataclass(frozen=True)
class Key:
    """A condition key of a request.

    Attributes:
        present: When it is there.
        like: Says when its value matches a pattern.
        arn_like: The same for the pattern of an ARN.
        value: Returns a value that fits a model.
        field: Its value, where it is a free one.
    """

    present: Any
    like: Callable[[str], Any]
    arn_like: Callable[[str], Any]
    value: Callable[[Any], str]
    field: Field | None = None


class Request:
    """A request to AWS by one kind of principal, with every field free.

    Attributes:
        kind: What kind of principal makes it.
        account: The principal's account.
        session: Name of the principal's session.
        service: DNS name of the service principal.
        action: The action in lower case, since IAM ignores its case.
        resource: ARN of the resource.
    """

    def __init__(self, kind: Kind, roles: Mapping[str, str], prefix: str = "", session: Field | None = None) -> None:
        """Make a request.

        Args:
            kind: What kind of principal makes it.
            roles: Unique ids by ARN of the roles that exist; no other role has such an id.
            prefix: Tells the variables of several requests in one formula apart.
            session: Name of the principal's session, if another request made it.
        """
        self.kind = kind
        self.is_iam = kind not in {Kind.SERVICE, Kind.ANONYMOUS}
        self.account = Account(f"{prefix}account")
        self.session = session or Field(f"{prefix}session", patterns.NAME)
        self.service = Field(f"{prefix}service", patterns.LOWER)
        self.action = Field(f"{prefix}action", patterns.LOWER)
        self.resource = Field(f"{prefix}resource")
        self._name = Field(f"{prefix}name", patterns.NAME)
        self._unique_id = Field(f"{prefix}unique id", patterns.UNIQUE_ID)
        self._roles = roles
        self._prefix = prefix
        self._keys: dict[str, Key] = {}
        self._free: list[Field] = [self.session, self.service, self.action, self.resource]
        self._free += [self._name, self._unique_id]
        if kind is Kind.ROLE:
            # Unique ids are never given twice.
            self._laws = [self.is_principal(arn) == self._unique_id.like(role_id) for arn, role_id in roles.items()]
        else:
            self._laws = []

    @property
    def session_to_be(self) -> Field:
        """Name of the session that the request asks for, when it is one to assume a role."""
        field = self.key("sts:RoleSessionName").field
        assert field
        return field

    def key(self, name: str) -> Key:
        """Return a condition key; the case of its name does not matter."""
        name = name.lower()
        if name not in self._keys:
            if not re.fullmatch(r"(aws|sts):[a-z]+", name):
                raise NotModelledError(f"condition key {name}")
            self._keys[name] = self._new_key(name)
        return self._keys[name]

    def _new_key(self, name: str) -> Key:
        types = {
            Kind.USER: "User",
            Kind.ROLE: "AssumedRole",
            Kind.ROOT: "Account",
            Kind.FEDERATED: "FederatedUser",
            Kind.ANONYMOUS: "Anonymous",
        }
        present = z3.Bool(f"{self._prefix}{name} present")
        match name:
            case "aws:principalarn":
                return Key(z3.BoolVal(self.is_iam), _refused(name), self.principal_like, self._principal)
            case "aws:principalaccount":
                account = self.account
                return Key(z3.BoolVal(self.is_iam), account.like, _refused(name), account.value)
            case "aws:principaltype":
                fixed = Field(name, values=[types.get(self.kind, "")])
                return self._field_key(z3.BoolVal(self.kind in types), fixed)
            case "aws:userid":
                return Key(z3.BoolVal(self.kind in types), self._user_id_like, _refused(name), lambda _: "")
            case "sts:rolesessionname":
                # It is in every request to assume a role.
                return self._field_key(TRUE, Field(self._prefix + name, patterns.NAME))
            case "aws:securetransport":
                # Documented as present in every request.
                return self._field_key(TRUE, Field(self._prefix + name, values=["true", "false"]))
            case "aws:multifactorauthpresent":
                return self._field_key(present, Field(self._prefix + name, values=["true", "false"]))
        return self._field_key(present, Field(self._prefix + name))

    def _field_key(self, present: Any, field: Field) -> Key:
        self._free.append(field)
        return Key(present, field.like, field.arn_like, field.value, field)

    def is_service(self, name: str) -> Any:
        """Say when the principal is a service, given by its DNS name."""
        return self.service.like(name) if self.kind is Kind.SERVICE else FALSE

    def is_of(self, *accounts: str) -> Any:
        """Say when the principal is of one of some accounts."""
        return self.account.like(*accounts) if self.is_iam else FALSE

    def is_session_of(self, role: str) -> Any:
        """Say when the principal is a session of a role, given by its ARN."""
        return self.is_principal(role) if self.kind is Kind.ROLE else FALSE

    def is_principal(self, arn: str) -> Any:
        """Say when the principal is the user or role of an ARN."""
        return self.principal_like(arn)

    def principal_like(self, pattern: str) -> Any:
        """Say when the principal's ARN (of the role, not of its session) matches the pattern of an ARN."""
        if not self.is_iam:
            return FALSE
        service, kind = self._arn_parts()
        *first, account, last = _arn_parts(pattern)
        known = all(
            patterns.matches(text, patterns.glob(part))
            for text, part in zip(("arn", "aws", service, ""), first, strict=True)
        )
        rest = patterns.after(kind, last)
        match self.kind:
            case Kind.ROOT:
                name = z3.BoolVal(any(set(pattern) <= {"*"} for pattern in rest))
            case Kind.FEDERATED:
                name = self.session.like(*rest)
            case _:
                name = self._name.like(*rest)
        return z3.And(z3.BoolVal(known), self.account.like(account), name)

    def _arn_parts(self) -> tuple[str, str]:
        parts = {Kind.ROOT: ("iam", "root"), Kind.FEDERATED: ("sts", "federated-user/"), Kind.USER: ("iam", "user/")}
        return parts.get(self.kind, ("iam", "role/"))

    def _principal(self, model: Any) -> str:
        service, kind = self._arn_parts()
        names = {Kind.ROOT: "", Kind.FEDERATED: self.session.value(model)}
        name = names[self.kind] if self.kind in names else self._name.value(model)
        return f"arn:aws:{service}::{self.account.value(model)}:{kind}{name}"

    def _user_id_like(self, pattern: str) -> Any:
        """Match what comes before the colon and what comes after it, neither of which has a colon itself."""
        head, colon, tail = pattern.partition(":")
        match self.kind:
            case Kind.USER:
                return self._unique_id.like(pattern)
            case Kind.ROOT:
                return self.account.like(pattern)
            case Kind.ANONYMOUS:
                return z3.BoolVal(patterns.matches("anonymous", patterns.glob(pattern)))
            case Kind.ROLE:
                first: Callable[[str], Any] = self._unique_id.like
            case _:
                first = self.account.like
        if colon and patterns.is_literal(head):
            return z3.And(first(head), self.session.like(tail))
        if not colon and head.endswith("*") and patterns.is_literal(head[:-1]):
            return first(head)
        if patterns.is_literal(pattern):
            return FALSE
        raise NotModelledError(f"aws:userid like {pattern}")

    @property
    def guarantees(self) -> Any:
        """What AWS guarantees of any request, whoever makes it."""
        return z3.And(*self._laws, self.account.guarantees, *(field.guarantees for field in self._free))

    def describe(self, model: Any) -> str:
        """Put a model of the solver into words.

        Args:
            model: An assignment that z3 found.

        Returns:
            Who does what with what, and the condition keys that a policy looked at.
        """
        match self.kind:
            case Kind.SERVICE:
                who = f"the service {self.service.value(model)}"
            case Kind.ANONYMOUS:
                who = "anybody, unsigned,"
            case Kind.ROLE:
                who = f"session {self.session.value(model)!r} of {self._principal(model)}"
            case _:
                who = self._principal(model)
        keys = [
            f"{name} {key.value(model)!r}" if _holds(model, key.present) else f"no {name}"
            for name, key in sorted(self._keys.items())
            if not name.startswith("aws:principal") and name != "aws:userid"
        ]
        context = ", ".join(keys) or "any context"
        return f"{who} does {self.action.value(model)} on {self.resource.value(model)}, with {context}"


def allowed(
    request: Request,
    resource_policy: Iterable[Statement],
    *,
    owner: str,
    identity: Any = TRUE,
    trust: bool = False,
) -> Any:
    """Say when a request is allowed.

    Args:
        request: The request.
        resource_policy: Statements of the resource's policy.
        owner: Id of the account that the resource belongs to.
        identity: When the principal's own policies allow it; by default whatever they are, at their widest.
        trust: Whether the resource policy is a role's trust policy, needed even in the role's own account.

    Returns:
        A formula over the request.
    """
    grants: list[Any] = []
    delegations: list[Any] = []
    denials: list[Any] = []
    for statement in resource_policy:
        named, delegated = _principals(statement, request)
        applies = _applies(statement, request, trust=trust)
        if _effect(statement) == "Deny":
            denials.append(z3.And(z3.Or(named, delegated), applies))
        else:
            grants.append(z3.And(named, applies))
            delegations.append(z3.And(delegated, applies))
    granted, delegated = z3.Or(*grants), z3.Or(*delegations)
    not_denied = z3.Not(z3.Or(*denials))
    if not request.is_iam:
        return z3.And(granted, not_denied)
    same_account = z3.Or(granted, z3.And(identity, delegated if trust else TRUE))
    other_account = z3.And(z3.Or(granted, delegated), identity)
    return z3.And(z3.If(request.is_of(owner), same_account, other_account), not_denied)


def identity_allows(request: Request, identity_policy: Iterable[Statement]) -> Any:
    """Say when a principal's own policy allows a request.

    Args:
        request: The request.
        identity_policy: Statements of the policy.

    Returns:
        A formula over the request.
    """
    grants: list[Any] = []
    denials: list[Any] = []
    for statement in identity_policy:
        if {"Principal", "NotPrincipal"} & set(statement):
            raise NotModelledError("an identity policy that names a principal: IAM refuses it")
        applies = _applies(statement, request)
        (grants if _effect(statement) == "Allow" else denials).append(applies)
    return z3.And(z3.Or(*grants), z3.Not(z3.Or(*denials)))


def _effect(statement: Statement) -> str:
    known = {"Sid", "Effect", "Condition", *_ELEMENTS, *(f"Not{element}" for element in _ELEMENTS)}
    if set(statement) - known or statement["Effect"] not in {"Allow", "Deny"}:
        raise NotModelledError(f"statement {statement}")
    return str(statement["Effect"])


def _principals(statement: Statement, request: Request) -> tuple[Any, Any]:
    """Say when a statement names the principal itself, and when it names its account."""
    if "NotPrincipal" in statement:
        named, delegated = _named(statement["NotPrincipal"], request)
        return z3.Not(z3.Or(named, delegated)), FALSE
    if "Principal" not in statement:
        raise NotModelledError("a resource policy's statement without principal")
    return _named(statement["Principal"], request)


def _named(element: Any, request: Request) -> tuple[Any, Any]:
    if element == "*":
        return TRUE, FALSE
    named: list[Any] = []
    delegated: list[Any] = []
    for kind, values in element.items():
        for value in _list(values):
            if kind == "Service":
                named.append(request.is_service(value))
            elif kind == "AWS" and value == "*":
                named.append(z3.BoolVal(request.kind is not Kind.SERVICE))
            elif kind == "AWS" and (match := re.fullmatch(r"([0-9]{12})|arn:aws:iam::([0-9]{12}):root", value)):
                delegated.append(request.is_of(match[1] or match[2]))
            elif kind == "AWS" and re.fullmatch(r"arn:aws:iam::[0-9]{12}:(user|role)/[^*?]+", value):
                named.append(request.is_principal(value))
            else:
                raise NotModelledError(f"principal {kind}: {value}")
    return z3.Or(*named), z3.Or(*delegated)


def parts(statement: Statement, request: Request, *, trust: bool = False) -> dict[str, Any]:
    """Say when each part of a statement matches; the statement applies where all of them do.

    Args:
        statement: The statement.
        request: The request.
        trust: Whether it is of a role's trust policy, which names no resource.

    Returns:
        Formulas, by the name of the element or of the condition key.
    """
    actions = [action.lower() for action in _list(statement.get("Action", statement.get("NotAction")))]
    matched = request.action.like(*actions)
    found = {"Action": matched if "Action" in statement else z3.Not(matched)}
    if {"Principal", "NotPrincipal"} & set(statement):
        found["Principal"] = z3.Or(*_principals(statement, request))
    if not trust or {"Resource", "NotResource"} & set(statement):
        resources = _list(statement.get("Resource", statement.get("NotResource")))
        for resource in resources:
            # A wildcard at the end of a part of an ARN reaches over its colon; elsewhere in the part it may not.
            if "${" in resource or re.search(r"[*?][^:*?/]+:", resource):
                raise NotModelledError(f"variable, or wildcard inside a part of an ARN, in resource {resource}")
        matched = request.resource.like(*resources)
        found["Resource"] = matched if "Resource" in statement else z3.Not(matched)
    for operator, block in statement.get("Condition", {}).items():
        for name, values in block.items():
            found[f"{operator} {name}"] = _condition(operator, name, _list(values), request)
    return found


def _applies(statement: Statement, request: Request, *, trust: bool = False) -> Any:
    return z3.And(*parts(statement, request, trust=trust).values())


def _condition(operator: str, name: str, values: Sequence[str], request: Request) -> Any:
    key = request.key(name)
    qualifier, _, rest = operator.rpartition(":")
    base = rest.removesuffix("IfExists")
    if base == "Null":
        return z3.Or(*(z3.Not(key.present) if value == "true" else key.present for value in values))
    negated = "Not" in base
    matched = z3.Or(*(_matches(base.replace("Not", ""), key, str(value), request) for value in values))
    holds = z3.Not(matched) if negated else matched
    # Every key here has one value, or none: of no value, all do and none does.
    absent = {"": negated or base != rest, "ForAllValues": True, "ForAnyValue": False}[qualifier]
    return z3.If(key.present, holds, z3.BoolVal(absent))


def _matches(operator: str, key: Key, value: str, request: Request) -> Any:
    has_variable = _VARIABLE.search(value)
    match operator:
        case "StringLike" if has_variable and key.field:
            # The variable that the policies use, and the places where it can stand that have a meaning.
            variable = re.fullmatch(r"\$\{aws:PrincipalAccount\}([^*?$]*)\*", value)
            if not variable:
                raise NotModelledError(f"policy variable in {value}")
            return request.account.begins(key.field, variable[1]) if request.is_iam else FALSE
        case "StringEquals" if not has_variable and patterns.is_literal(value):
            return key.like(value)
        case "StringLike" if not has_variable:
            return key.like(value)
        case "ArnEquals" | "ArnLike" if not has_variable:
            return key.arn_like(value)
        case "Bool" if value in {"true", "false"}:
            return key.like(value)
    raise NotModelledError(f"{operator} with {value}")


def _refused(name: str) -> Callable[[str], Any]:
    def refuse(pattern: str) -> Any:
        raise NotModelledError(f"{name} with {pattern}")

    return refuse


def _arn_parts(pattern: str) -> list[str]:
    parts = pattern.split(":", 5)
    if len(parts) < 6:
        raise NotModelledError(f"{pattern} is not an ARN")
    return parts


def _holds(model: Any, formula: Any) -> bool:
    return bool(z3.is_true(model.eval(formula, model_completion=True)))


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
