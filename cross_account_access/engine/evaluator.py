"""IAM's evaluation logic over symbolic requests.

A policy may have cases and texts that no template knows (`intrinsics`); a plain one has neither. What is not read here
and not refused by IAM is a name: equal names match alike, and of others nothing is known.

See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import ipaddress
import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import z3

from cross_account_access.engine import patterns
from cross_account_access.engine.fields import FALSE, TRUE, NotModelledError, all_of, any_of, constant, either, no
from cross_account_access.engine.intrinsics import NOTHING, Guard, Opaque, alternatives, items, plain
from cross_account_access.engine.languages import text_of
from cross_account_access.engine.request import TOKENS, Key, Kind, Request

type Statement = Mapping[str, Any]
type Guarded = tuple[Guard, Statement] | tuple[Guard, Statement, str]
"""A statement, when it is there, and possibly its name."""

_ELEMENTS = ("Principal", "Action", "Resource")
_VARIABLE = re.compile(r"\$\{(?![*?$]\})([^}]*)\}")
_STRINGS = {"StringEquals", "StringLike", "StringEqualsIgnoreCase", "ArnEquals", "ArnLike", "BinaryEquals"}
_NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_OPERATORS = {
    *_STRINGS,
    "Bool",
    "Null",
    "IpAddress",
    *(f"{kind}{how}" for kind in ("Numeric", "Date") for how in _NUMBERS),
}
# Keys that have at most one value, so that ForAllValues and ForAnyValue mean the same as without, but for its absence.
_SINGLE = re.compile(
    r"aws:(principal(?!servicenameslist|tag).*|source.*|userid|username|resource(account|orgid|orgpaths)|securetransport)|sts:(?!transitivetagkeys).*"
)
_ACCOUNT = re.compile(r"([0-9]{12})|arn:aws[\w-]*:iam::([0-9]{12}):root")
_PRINCIPAL = re.compile(r"arn:aws[\w-]*:iam::[0-9]{12}:(user|role)/[^*?]+")
_SESSION = re.compile(r"arn:aws[\w-]*:sts::([0-9]{12}):assumed-role/([^*?/]+)/([^*?/]+)")


def allowed(
    request: Request,
    resource_policy: Iterable[Statement | Guarded],
    *,
    owner: str,
    identity: Any = TRUE,
    trust: bool = False,
) -> Any:
    """Whether a request is allowed, as a formula.

    `owner` is the id of the resource's account; `identity`, when the principal's own policies allow it (by default,
    always). A role's trust policy (`trust`) is needed even in the role's own account.
    """
    grants: list[Any] = []
    delegations: list[Any] = []
    denials: list[Any] = []
    for there, statement in _guarded(request, resource_policy):
        named, delegated = _principals(statement, request)
        applies = all_of(there, _applies(statement, request, trust=trust))
        if _effect(statement) == "Deny":
            denials.append(all_of(any_of(named, delegated), applies))
        else:
            grants.append(all_of(named, applies))
            delegations.append(all_of(delegated, applies))
    granted, delegated = any_of(*grants), any_of(*delegations)
    not_denied = no(any_of(*denials))
    if not request.is_iam:
        return all_of(granted, not_denied)
    same_account = any_of(granted, all_of(identity, delegated if trust else TRUE))
    other_account = all_of(any_of(granted, delegated), identity)
    return all_of(either(request.is_of(owner), same_account, other_account), not_denied)


def identity_allows(request: Request, identity_policy: Iterable[Statement | Guarded]) -> Any:
    """Whether a principal's own policy allows a request, as a formula."""
    grants: list[Any] = []
    denials: list[Any] = []
    for there, statement in _guarded(request, identity_policy):
        if {"Principal", "NotPrincipal"} & set(statement):
            raise NotModelledError("an identity policy that names a principal: IAM refuses it")
        applies = all_of(there, _applies(statement, request))
        (grants if _effect(statement) == "Allow" else denials).append(applies)
    return all_of(any_of(*grants), no(any_of(*denials)))


def _guarded(request: Request, policy: Iterable[Statement | Guarded]) -> Iterator[tuple[Any, Statement]]:
    for entry in policy:
        if isinstance(entry, tuple):
            yield request.conditions.formula(entry[0]), entry[1]
        else:
            yield TRUE, entry


def _effect(statement: Statement) -> str:
    known = {"Sid", "Effect", "Condition", *_ELEMENTS, *(f"Not{element}" for element in _ELEMENTS)}
    if set(statement) - known or statement.get("Effect") not in {"Allow", "Deny"}:
        raise NotModelledError(f"statement {plain(dict(statement))}")
    return str(statement["Effect"])


def any_item(request: Request, value: Any, matches: Callable[[Any], Any]) -> Any:
    """Whether any member of an element matches."""
    return any_of(*(all_of(request.conditions.formula(guard), matches(text_of(item))) for guard, item in items(value)))


def _principals(statement: Statement, request: Request) -> tuple[Any, Any]:
    """Whether a statement names the principal itself, and whether it names its account."""
    if "NotPrincipal" in statement:
        named, delegated = _named(statement["NotPrincipal"], request)
        return no(any_of(named, delegated)), FALSE
    if "Principal" not in statement:
        raise NotModelledError("a resource policy's statement without principal")
    return _named(statement["Principal"], request)


def _named(element: Any, request: Request) -> tuple[Any, Any]:
    named: list[Any] = []
    delegated: list[Any] = []
    for guard, case in alternatives(element):
        there = request.conditions.formula(guard)
        if case == "*":
            named.append(there)
            continue
        if not isinstance(case, Mapping):
            raise NotModelledError(f"principal {plain(case)}")
        for kind, values in case.items():
            for inner, value in items(values):
                by_name, by_account = _principal(kind, text_of(value), request)
                holds = all_of(there, request.conditions.formula(inner))
                named.append(all_of(holds, by_name))
                delegated.append(all_of(holds, by_account))
    return any_of(*named), any_of(*delegated)


def _principal(kind: str, value: Any, request: Request) -> tuple[Any, Any]:
    if isinstance(value, Opaque):
        return _unknown_principal(kind, value, request)
    match kind:
        case "Service":
            return request.is_service(value), FALSE
        case "Federated":
            return request.is_from(value), FALSE
        case "CanonicalUser":
            return FALSE, request.unknown("principal", f"canonical user {value}") if request.is_iam else FALSE
        case "AWS" if value == "*":
            return constant(request.kind is not Kind.SERVICE), FALSE
        case "AWS" if match := _ACCOUNT.fullmatch(value):
            return FALSE, request.is_of(match[1] or match[2])
        case "AWS" if _PRINCIPAL.fullmatch(value):
            return request.principal_like(value), FALSE
        case "AWS" if match := _SESSION.fullmatch(value):
            if request.kind is not Kind.ROLE:
                return FALSE, FALSE
            role = request.principal_like(f"arn:aws:iam::{match[1]}:role/{match[2]}")
            below = request.principal_like(f"arn:aws:iam::{match[1]}:role/*/{match[2]}")
            return all_of(any_of(role, below), request.session.equals(match[3])), FALSE
        case "AWS" if re.fullmatch(r"A[A-Z0-9]{15,}|arn:aws[\w-]*:(iam|sts)::[^*?]+", value):
            return request.unknown("principal", value) if request.kind is not Kind.ANONYMOUS else FALSE, FALSE
    raise NotModelledError(f"principal {kind}: {value}")


def _unknown_principal(kind: str, value: Opaque, request: Request) -> tuple[Any, Any]:
    first, *rest = value.pieces
    is_account = isinstance(first, str) and bool(re.fullmatch(r"arn:aws[\w-]*:iam::", first)) and rest[1:] == [":root"]
    if is_account:
        value = Opaque((rest[0],))
    elif request.conditions.within(value, r"[0-9]*") and len(value.pieces) == 1:
        is_account = True
    text = str(value)
    match kind:
        case "Service":
            return request.text("principal", value) if request.kind is Kind.SERVICE else FALSE, FALSE
        case "Federated":
            return request.text("principal", value) if request.kind in TOKENS else FALSE, FALSE
        case "AWS" | "CanonicalUser" if request.is_iam:
            names_one = re.search(":(role|user|assumed-role)/", text) is not None
            by_account = FALSE if names_one else request.text("account", value)
            return FALSE if is_account or text.endswith(":root") else request.text("principal", value), by_account
        case "AWS" | "CanonicalUser":
            # Nobody in particular, if the text is an asterisk.
            is_open = request.kind is Kind.ANONYMOUS and not is_account and not isinstance(first, str)
            return request.text("principal", value) if is_open else FALSE, FALSE
    raise NotModelledError(f"principal {kind}: {text}")


def parts(statement: Statement, request: Request, *, trust: bool = False) -> dict[str, Any]:
    """Whether each part of a statement matches, by element or condition key; trust policies name no resource."""

    def acts(action: Any) -> Any:
        return request.text("action", action) if isinstance(action, Opaque) else request.action.like(action.lower())

    def concerns(resource: Any) -> Any:
        if isinstance(resource, Opaque):
            return request.text("resource", resource)
        # A wildcard that ends a part of an ARN matches beyond its colon; elsewhere in the part it may not.
        if _VARIABLE.search(resource) or re.search(r"[*?][^:*?/]+:", resource):
            return request.unknown("resource", resource)
        return request.resource.like(resource)

    def element(name: str, matches: Callable[[Any], Any]) -> Any:
        if name in statement:
            return any_item(request, statement[name], matches)
        if f"Not{name}" in statement:
            return no(any_item(request, statement[f"Not{name}"], matches))
        raise NotModelledError(f"a statement without {name.lower()}")

    found = {"Action": element("Action", acts)}
    if {"Principal", "NotPrincipal"} & set(statement):
        found["Principal"] = any_of(*_principals(statement, request))
    if not trust or {"Resource", "NotResource"} & set(statement):
        found["Resource"] = element("Resource", concerns)
    return found | dict(_conditions(statement.get("Condition", {}), request))


def _conditions(conditions: Any, request: Request) -> Iterator[tuple[str, Any]]:
    """Whether each condition matches, by operator and key; what has cases is one part."""

    def each(label: str, value: Any, inside: Callable[[str, Any], Iterable[tuple[str, Any]]]) -> Iterator[Any]:
        formula = request.conditions.formula
        choices = list(alternatives(value))
        if len(choices) > 1:
            cases = (
                all_of(formula(guard), *(part for _, part in each(label, case, inside))) for guard, case in choices
            )
            yield label, any_of(*cases)
        elif choices[0][1] is not NOTHING:
            if not isinstance(choices[0][1], Mapping):
                raise NotModelledError(f"condition {label}: {plain(choices[0][1])}")
            for name, item in choices[0][1].items():
                yield from inside(name, item)

    def key(operator: str, name: str, values: Any) -> tuple[str, Any]:
        matches = (
            all_of(
                request.conditions.formula(guard),
                TRUE if case is NOTHING else _condition(operator, name, case, request),
            )
            for guard, case in alternatives(values)
        )
        return f"{operator} {name}", any_of(*matches)

    def keys(operator: str, block: Any) -> Iterator[tuple[str, Any]]:
        return each(operator, block, lambda name, values: [key(operator, name, values)])

    return each("Condition", conditions, keys)


def _applies(statement: Statement, request: Request, *, trust: bool = False) -> Any:
    return all_of(*parts(statement, request, trust=trust).values())


def _condition(operator: str, name: str, values: Any, request: Request) -> Any:
    key = request.key(name)
    qualifier, _, rest = operator.rpartition(":")
    base = rest.removesuffix("IfExists")
    positive = "IpAddress" if base == "NotIpAddress" else base.replace("Not", "", 1)
    if positive not in _OPERATORS or qualifier not in {"", "ForAllValues", "ForAnyValue"}:
        raise NotModelledError(f"operator {operator}")
    if base == "Null":
        return any_item(request, values, lambda value: _null(key, value))
    if positive == "IpAddress":
        values = _joined(values)
    is_negated = positive != base
    # Without any value, ForAllValues holds and ForAnyValue does not.
    absent = {"": is_negated or base != rest, "ForAllValues": True, "ForAnyValue": False}[qualifier]
    if qualifier and not _SINGLE.fullmatch(name.lower()):
        holds = _of_many(qualifier, base, name.lower(), values, request)
    else:
        matched = any_item(request, values, lambda value: _matches(positive, name.lower(), key, value, request))
        holds = no(matched) if is_negated else matched
    return either(key.present, holds, constant(absent))


def _null(key: Key, value: Any) -> Any:
    # YAML's true is a bool; IAM reads it as a text, whatever its case.
    match str(value).lower():
        case "true":
            return no(key.present)
        case "false":
            return key.present
    raise NotModelledError(f"Null with {value}")


def _of_many(qualifier: str, operator: str, name: str, values: Any, request: Request) -> Any:
    """Compare a key that may have several values: which sets of values there are is not known."""
    if qualifier == "ForAnyValue" and "Not" not in operator:
        return any_item(request, values, lambda value: request.unknown(f"some {operator} {name}", str(value)))
    whole = json.dumps(sorted(json.dumps(plain(value)) for _, value in items(values)))
    guards = [guard for guard, _ in items(values)]
    return request.unknown(
        f"{qualifier}:{operator} {name}", f"{whole} {guards}" if any(len(g) > 1 for g in guards) else whole
    )


def _matches(operator: str, name: str, key: Key, value: Any, request: Request) -> Any:
    if isinstance(value, Opaque):
        # Without wildcards, a text is like itself only.
        like = operator in {"StringLike", "ArnLike", "ArnEquals"} and not _is_literal(value, request)
        exactly = f"{'like' if like else 'equal'} {'arn ' if operator.startswith('Arn') and like else ''}{name}"
        place = exactly if operator in _STRINGS - {"StringEqualsIgnoreCase"} else f"{operator} {name}"
        return request.text(place, value)
    try:
        return _compared(operator, name, key, str(value), request)
    except NotModelledError:
        return request.unknown(f"{operator} {name}", str(value))


def _is_literal(text: Opaque, request: Request) -> bool:
    """Return whether a text can hold nothing that IAM reads as a wildcard or a variable."""
    written = "".join(piece for piece in text.pieces if isinstance(piece, str))
    return not re.search(r"[*?$]", written) and request.conditions.within(text, r"[^*?$]*")


def _compared(operator: str, name: str, key: Key, value: str, request: Request) -> Any:
    if operator.startswith(("Numeric", "Date")):
        number = _time(value) if operator.startswith("Date") else float(value) if _is_number(value) else None
        return _number(re.sub("^(Numeric|Date)", "", operator), key, number)
    if operator == "IpAddress":
        return _address(key, value)
    if operator == "Bool":
        if value.lower() not in {"true", "false"}:
            raise NotModelledError(f"Bool with {value}")
        return key.like(value.lower())
    return _text(operator, name, key, value, request)


def _text(operator: str, name: str, key: Key, value: str, request: Request) -> Any:
    if not value:
        raise NotModelledError("an empty text")
    if variable := _VARIABLE.search(value):
        # Only the variable that binds a name to its account, at the beginning of a prefix.
        bound = re.fullmatch(r"\$\{aws:PrincipalAccount\}([^*?$]*)\*", value)
        if operator != "StringLike" or not bound or not key.field:
            raise NotModelledError(f"policy variable {variable[1]}")
        return request.account.begins(key.field, bound[1]) if request.is_iam else FALSE
    if name == "aws:principalarn" and operator.startswith("String"):
        # An ARN has five colons at least, and a pattern with as many cannot match them otherwise.
        if value == "*" and operator == "StringLike":
            return TRUE
        if (
            operator == "StringEqualsIgnoreCase"
            or value.count(":") != 5
            or (operator == "StringEquals" and not patterns.is_literal(value))
        ):
            raise NotModelledError(f"{operator} with {value}")
        return key.arn_like(value)
    match operator:
        case "StringEquals":
            return key.like(value if patterns.is_literal(value) else re.sub(r"[*?]", r"${\g<0>}", value))
        case "StringLike":
            return key.like(value)
        case "ArnEquals" | "ArnLike":
            return key.arn_like(value if value != "*" else "arn:*:*:*:*:*")
    raise NotModelledError(f"{operator} with {value}")


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) is not None


def _time(value: str) -> float | None:
    if _is_number(value):
        return float(value)
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _number(how: str, key: Key, limit: float | None) -> Any:
    if limit is None or key.number is None:
        raise NotModelledError(f"{how} with a value that is neither a number nor a time")
    return _NUMBERS[how](key.number, z3.RealVal(str(limit)))


def _joined(values: Any) -> Any:
    """Write networks that adjoin as one."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return values
    try:
        networks = [ipaddress.ip_network(value, strict=False) for value in values]
    except ValueError:
        return values
    four = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(one for one in networks if isinstance(one, ipaddress.IPv6Network))
    return [*map(str, four), *map(str, six)]


def _address(key: Key, value: str) -> Any:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise NotModelledError(f"IpAddress with {value}") from error
    if key.number is None:
        raise NotModelledError(f"IpAddress of {value}")
    # Addresses of version 6 follow those of version 4.
    offset = 0 if network.version == 4 else 2**32
    first, last = int(network[0]) + offset, int(network[-1]) + offset
    return z3.And(key.number >= z3.RealVal(first), key.number <= z3.RealVal(last))
