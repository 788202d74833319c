"""Symbolic requests to AWS, for z3.

Every field of a request is free within what AWS itself guarantees (`Request.guarantees`): principal, account, action,
resource and each condition key, present or not. What is not modelled raises `NotModelledError`: a proof never rests on
a guess.

See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import z3

from cross_account_access.engine import patterns
from cross_account_access.engine.case import Case, Principal
from cross_account_access.engine.fields import (
    FALSE,
    TRUE,
    Account,
    Field,
    NotModelledError,
    all_of,
    any_of,
    constant,
    holds,
)
from cross_account_access.engine.intrinsics import Conditions, Opaque


class Kind(Enum):
    """Kinds of principals."""

    USER = "user"
    ROLE = "role session"
    ROOT = "root user"
    FEDERATED = "federated user"
    SERVICE = "service"
    ANONYMOUS = "anonymous"
    WEB = "web identity"
    SAML = "SAML identity"


# The identity of a token is known to the provider only; all that it can do is assume a role.
TOKENS = {Kind.WEB: "sts:assumerolewithwebidentity", Kind.SAML: "sts:assumerolewithsaml"}
# `aws:PrincipalType`, by kind.
TYPES = {
    Kind.USER: "User",
    Kind.ROLE: "AssumedRole",
    Kind.ROOT: "Account",
    Kind.FEDERATED: "FederatedUser",
    Kind.ANONYMOUS: "Anonymous",
}
# Keys that a request has only if the principal is of one of these kinds.
_OF_KINDS = {
    "aws:sourceaccount": {Kind.SERVICE},
    "aws:sourcearn": {Kind.SERVICE},
    "aws:sourceorgid": {Kind.SERVICE},
    "aws:sourceorgpaths": {Kind.SERVICE},
    "aws:principalservicename": {Kind.SERVICE},
    "aws:principalservicenameslist": {Kind.SERVICE},
    "aws:username": {Kind.USER},
    "aws:principalorgid": {Kind.USER, Kind.ROLE, Kind.ROOT, Kind.FEDERATED},
    "aws:principalorgpaths": {Kind.USER, Kind.ROLE, Kind.ROOT, Kind.FEDERATED},
}


@dataclass(frozen=True)
class Key:
    """A condition key of a request; `present` and the results of `like` and `arn_like` are formulas."""

    present: Any
    like: Callable[[str], Any]  # matches an IAM pattern
    arn_like: Callable[[str], Any]  # matches the pattern of an ARN
    value: Callable[[Any], str]  # in a model of the solver
    field: Field | None = None  # its value, if it is free
    number: Any = None  # its value as a number, a time or an address


class Request:
    """A request to AWS by one kind of principal, with every field free; its conditions are formulas."""

    def __init__(
        self,
        kind: Kind,
        roles: Mapping[str, str],
        prefix: str = "",
        session: Field | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        """Make a request, given the existing roles' unique ids by ARN; no other role has such an id.

        The prefix distinguishes the variables of several requests in one formula. `session` is the name of the
        principal's session if another request created it. `conditions` are those of the templates whose policies have
        cases.
        """
        self.kind = kind
        self.is_iam = kind not in {Kind.SERVICE, Kind.ANONYMOUS, *TOKENS}
        self.conditions = conditions or Conditions()
        # Whether the request matches a text that no template knows, or what else nothing here reads, by place.
        self.texts: dict[tuple[str, str], Any] = {}
        self.unread: dict[tuple[str, str], Any] = {}
        self._shapes: dict[tuple[str, str], Opaque] = {}
        self.account = Account(f"{prefix}account")
        self.session = session or Field(f"{prefix}session", patterns.NAME)
        self.service = Field(f"{prefix}service", patterns.LOWER)
        self.action = Field(f"{prefix}action", patterns.LOWER)  # in lower case, since IAM ignores case
        self.resource = Field(f"{prefix}resource")
        self._name = Field(f"{prefix}name", patterns.NAME)
        self._unique_id = Field(f"{prefix}unique id", patterns.UNIQUE_ID)
        self._roles = roles
        self._prefix = prefix
        self._keys: dict[str, Key] = {}
        self._spelled: dict[str, str] = {}
        self._free: list[Field] = [self.session, self.service, self.action, self.resource]
        self._free += [self._name, self._unique_id]
        self._laws: list[Any] = []
        if kind is Kind.ROLE:
            # Unique ids are never reused.
            self._laws = [self.principal_like(arn) == self._unique_id.like(role_id) for arn, role_id in roles.items()]
        elif kind in TOKENS:
            self._laws = [self.action.like(TOKENS[kind], "sts:tagsession", "sts:setsourceidentity")]

    @property
    def session_to_be(self) -> Field:
        """Name of the session that a request to assume a role asks for."""
        field = self.key("sts:RoleSessionName").field
        assert field
        return field

    def key(self, name: str) -> Key:
        """Return a condition key; the case of its name does not matter."""
        self._spelled.setdefault(name.lower(), name)
        name = name.lower()
        if name not in self._keys:
            if not re.fullmatch(r"[a-z0-9._/-]+:.+", name):
                raise NotModelledError(f"condition key {name}")
            self._keys[name] = self._new_key(name)
        return self._keys[name]

    def _new_key(self, name: str) -> Key:
        present = z3.Bool(f"{self._prefix}{name} present")
        match name:
            case "aws:principalarn":
                return Key(constant(self.is_iam), _refused(name), self.principal_like, self._principal)
            case "aws:principalaccount":
                account = self.account
                return Key(constant(self.is_iam), account.like, _refused(name), account.value)
            case "aws:principaltype":
                fixed = Field(self._prefix + name, values=[TYPES.get(self.kind, "")])
                return self._field_key(constant(self.kind in TYPES), fixed)
            case "aws:principalisawsservice":
                by_service = "true" if self.kind is Kind.SERVICE else "false"
                return self._field_key(TRUE, Field(self._prefix + name, values=[by_service]))
            case "aws:userid":
                return Key(constant(self.kind in TYPES), self._user_id_like, _refused(name), lambda _: "")
            case "sts:rolesessionname":
                # Part of every request to assume a role.
                there = any_of(self.action.like("sts:assumerole*"), present)
                return self._field_key(there, Field(self._prefix + name, patterns.NAME))
            case "aws:securetransport":
                # Documented as present in every request.
                return self._field_key(TRUE, Field(self._prefix + name, values=["true", "false"]))
            case "aws:multifactorauthpresent" | "aws:viaawsservice":
                return self._field_key(present, Field(self._prefix + name, values=["true", "false"]))
        # Keys of an identity provider are in its tokens, and in the sessions that were got with them.
        provider = name.partition(":")[0]
        tokens = {Kind.WEB, Kind.ROLE} if "." in provider else {Kind.SAML, Kind.ROLE} if provider == "saml" else None
        kinds = tokens or _OF_KINDS.get(name)
        there = present if kinds is None or self.kind in kinds else FALSE
        return self._field_key(there, Field(self._prefix + name))

    def _field_key(self, present: Any, field: Field) -> Key:
        self._free.append(field)
        return Key(present, field.like, field.arn_like, field.value, field, z3.Real(f"{field.name} number"))

    def text(self, place: str, text: Opaque) -> Any:
        """Whether the request matches, in some place of a policy, a text that no template knows."""
        key = (place, str(text))
        self._shapes[key] = text
        return self.texts.setdefault(key, z3.Bool(f"{self._prefix}{place} matches {text}"))

    def _inclusions(self) -> Iterator[Any]:
        """What is like a text with unknown pieces is like any wider one with the same pieces."""
        for (place, name), text in self._shapes.items():
            if not (place == "resource" or place.startswith(("like ", "equal "))) or text.separator:
                continue
            field = self.resource if place == "resource" else None
            for other_place, other in [(at, found) for (at, _), found in self._shapes.items()]:
                key = (other_place, str(other))
                if other_place.partition(" ")[2] == place.partition(" ")[2] and key != (place, name):
                    wider = not other_place.startswith("equal ") and "like arn " not in other_place
                    if wider and not other.separator and _within(text, other):
                        yield z3.Implies(self.texts[place, name], self.texts[key])
            for glob in field.globs if field else ():
                if _within(text, Opaque((glob,))):
                    yield z3.Implies(self.texts[place, name], self.resource.like(glob))

    def unknown(self, place: str, text: str) -> Any:
        """Whether the request matches something in a policy that nothing here reads."""
        return self.unread.setdefault((place, text), z3.Bool(f"{self._prefix}{place} fits {text}"))

    def is_service(self, name: str) -> Any:
        """Whether the principal is a service, given by its DNS name."""
        return self.service.like(name) if self.kind is Kind.SERVICE else FALSE

    def is_of(self, *accounts: str) -> Any:
        """Whether the principal belongs to any of the accounts."""
        return self.account.like(*accounts) if self.is_iam else FALSE

    def is_session_of(self, role: str) -> Any:
        """Whether the principal is a session of a role, given by its ARN."""
        return self.principal_like(role) if self.kind is Kind.ROLE else FALSE

    def is_of_role(self, role_id: str) -> Any:
        """Whether the principal is a session of a role, given by its unique id."""
        return self._unique_id.equals(role_id) if self.kind is Kind.ROLE else FALSE

    def principal_like(self, pattern: str) -> Any:
        """Whether the principal's ARN (of the role, not of its session) matches the pattern of an ARN."""
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
                name = constant(any(set(pattern) <= {"*"} for pattern in rest))
            case Kind.FEDERATED:
                name = self.session.like(*rest)
            case _:
                name = self._name.like(*rest)
        return all_of(constant(known), self.account.like(account), name)

    def _arn_parts(self) -> tuple[str, str]:
        parts = {Kind.ROOT: ("iam", "root"), Kind.FEDERATED: ("sts", "federated-user/"), Kind.USER: ("iam", "user/")}
        return parts.get(self.kind, ("iam", "role/"))

    def is_from(self, provider: str) -> Any:
        """Whether the principal is an identity of a provider, given by its ARN or, for the web's own, its name."""
        return self.service.like(provider.lower()) if self.kind in TOKENS else FALSE

    def _principal(self, model: Any) -> str:
        service, kind = self._arn_parts()
        names = {Kind.ROOT: "", Kind.FEDERATED: self.session.value(model)}
        name = names[self.kind] if self.kind in names else self._name.value(model)
        return f"arn:aws:{service}::{self.account.value(model)}:{kind}{name}"

    def _user_id_like(self, pattern: str) -> Any:
        """Match the parts before and after the colon, neither of which contains a colon."""
        head, colon, tail = pattern.partition(":")
        match self.kind:
            case Kind.USER:
                return self._unique_id.like(pattern)
            case Kind.ROOT:
                return self.account.like(pattern)
            case Kind.ANONYMOUS:
                return constant(patterns.matches("anonymous", patterns.glob(pattern)))
            case Kind.ROLE:
                first: Callable[[str], Any] = self._unique_id.like
            case _:
                first = self.account.like
        if colon and ":" not in tail:
            return all_of(first(head), self.session.like(tail))
        if not colon and pattern.endswith("*") and patterns.is_literal(pattern[:-1]):
            return first(pattern)
        if patterns.is_literal(pattern):
            return FALSE
        raise NotModelledError(f"aws:userid like {pattern}")

    @property
    def guarantees(self) -> Any:
        """What AWS guarantees of any request, and what is known of the texts in the policies."""
        # What equals a text is like it.
        alike = [
            z3.Implies(atom, self.texts[like])
            for (place, text), atom in self.texts.items()
            for how in ("like", "StringEqualsIgnoreCase")
            if place.startswith("equal ") and (like := (f"{how} {place.removeprefix('equal ')}", text)) in self.texts
        ]
        alike += self._inclusions()
        fields = (field.guarantees for field in self._free)
        return all_of(*self._laws, *alike, self.account.guarantees, *fields, self.conditions.laws)

    @property
    def keys(self) -> Mapping[str, Key]:
        """The condition keys that a policy looked at."""
        return self._keys

    def witness(self, model: Any, actions: Mapping[str, str] | None = None, resources: Iterable[str] = ()) -> Case:
        """Return the request that a model of the solver stands for.

        The actions, by their lower case, and the resources are preferred where any would do.
        """
        actions = actions or {}
        action = self.action.value(model, actions)
        service = {"sts": "iam"}.get(action.partition(":")[0], action.partition(":")[0])
        resource = self.resource.value(model, (arn for arn in resources if f":{service}:" in arn))
        looked_at = [
            (self._spelled[name], key)
            for name, key in sorted(self._keys.items())
            if key.field and name != "aws:principaltype"
        ]
        context = {name: key.value(model) for name, key in looked_at if holds(model, key.present)}
        absent = tuple(name for name, key in looked_at if not holds(model, key.present))
        session = self.session.value(model) if self.kind in {Kind.ROLE, Kind.FEDERATED} else ""
        unique_id = self._unique_id.value(model)
        account = self.account.value(model) if self.is_iam else ""
        user_ids = {
            Kind.ROLE: f"{unique_id}:{session}",
            Kind.USER: unique_id,
            Kind.FEDERATED: f"{account}:{session}",
            Kind.ANONYMOUS: "anonymous",
        }
        match self.kind:
            case Kind.SERVICE:
                arn = self.service.value(model)
            case Kind.ANONYMOUS | Kind.WEB | Kind.SAML:
                arn = self.kind.value
            case _:
                arn = self._principal(model)
        user_id = user_ids.get(self.kind, account)
        kind = self.kind.value if self.kind in TOKENS else TYPES.get(self.kind, "")
        principal = Principal(self.kind.value, arn, kind, user_id, session)
        return Case(principal, actions.get(action, action), resource, context=context, absent=absent)


def _within(one: Opaque, other: Opaque) -> bool:
    """Return whether the pattern `one` is part of `other` whatever their unknown pieces are."""
    marks: dict[str, str] = {}

    def marked(text: Opaque) -> str:
        return "".join(
            piece if isinstance(piece, str) else marks.setdefault(piece.name, chr(0xE100 + len(marks)))
            for piece in text.pieces
        )

    texts = marked(one), marked(other)
    # A single character cannot stand for an unknown piece.
    if "?" in texts[1] or "${" in "".join(texts):
        return False
    globs = patterns.glob(texts[0]), patterns.glob(texts[1])
    return globs[0] == globs[1] or (True, False) not in patterns.combinations(
        globs, patterns.PRINTABLE + "".join(sorted(marks.values()))
    )


def _refused(name: str) -> Callable[[str], Any]:
    def refuse(pattern: str) -> Any:
        raise NotModelledError(f"{name} with {pattern}")

    return refuse


def _arn_parts(pattern: str) -> list[str]:
    parts = pattern.split(":", 5)
    if len(parts) < 6:
        raise NotModelledError(f"{pattern} is not an ARN")
    return parts
