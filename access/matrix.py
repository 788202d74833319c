"""Who may call what: every kind of caller on every route, decided from the policies and compared with the contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from access.case import Case, Principal
from access.decision import Decision, decide
from access.documents import Document, document
from access.model import Model, Route

STRANGER = "333333333333"
ASSUME = "Assume the role"


@dataclass(frozen=True)
class Cell:
    """One request of the matrix.

    Attributes:
        case: The request.
        decision: What the policies decide.
        expected: Whether contract and parameters mean to allow it.
    """

    case: Case
    decision: Decision
    expected: bool

    @property
    def good(self) -> bool:
        """Whether the decision is the expected one."""
        return self.decision.allowed is self.expected


@dataclass(frozen=True)
class Row:
    """All requests of one kind of caller.

    Attributes:
        who: Who it is.
        situation: What is special about it.
        cells: Its requests: to assume the role, then to call each route.
    """

    who: str
    situation: str
    cells: tuple[Cell, ...]


def columns(model: Model) -> list[str]:
    """Return the headings of the cells."""
    return [ASSUME, *map(str, model.routes)]


def documents(model: Model) -> dict[str, Document]:
    """Return the policies of the stacks, and those that somebody may have besides."""
    return {
        **model.documents,
        "administrator": _allow("*", "*"),
        "may assume": _allow("sts:AssumeRole", model.executor.arn),
        "may invoke": _allow("execute-api:Invoke", "*"),
        "may assume another": _allow("sts:AssumeRole", f"arn:aws:iam::{model.stacks['a'].account}:role/Other"),
    }


def rows(model: Model) -> Iterator[Row]:
    """Let everybody try to assume the role and to call every route."""
    a, b = model.accounts()
    known = documents(model)
    session = f"{b}-caller"
    right = {"sts:ExternalId": model.intent.external_ids[0], "sts:RoleSessionName": session}
    no_id = {name: value for name, value in right.items() if name != "sts:ExternalId"}
    spoofed = {**right, "sts:RoleSessionName": f"{STRANGER}-caller"}
    with_mfa = {**right, "aws:MultiFactorAuthPresent": "true"}
    own, admin, invoker = ("may assume", "may invoke"), ("administrator",), ("may invoke",)
    callers: list[tuple[str, str, Principal, tuple[str, ...], Mapping[str, str]]] = [
        ("The executor's session", "assumed by account B", executor(model, session), executor_policies(model), right),
        ("A workload of account B", "before it assumes the role", role(b, "job"), own, right),
        ("A workload of account B", "without the external id", role(b, "job"), own, no_id),
        ("A workload of account B", f"posing as account {STRANGER}", role(b, "job"), own, spoofed),
        ("A user of account B", "with MFA", user(b, "my-user"), own, with_mfa),
        ("A user of account B", "without MFA", user(b, "my-user"), own, right),
        ("Account B's root user", "", root(b), admin, with_mfa),
        ("An administrator of another account", STRANGER, role(STRANGER, "admin"), admin, right),
        ("An administrator of account A", "the API's own account", role(a, "admin"), admin, right),
        ("A user of account A", "who may invoke every API", user(a, "ann"), invoker, with_mfa),
    ]
    for who, situation, principal, identity, context in callers:
        is_executor = identity == executor_policies(model)
        trust = f"{model.executor.name} trust"
        cases = [(Case(principal, "sts:AssumeRole", model.executor.arn, identity, trust, context), False)]
        cases[0] = (cases[0][0], "may assume" in identity and may_assume(principal, context, model))
        for route in model.routes:
            call = Case(principal, "execute-api:Invoke", call_arn(model, route), identity, f"{model.api} resource")
            cases.append((call, is_executor and bool(route.promised)))
        yield Row(who, situation, tuple(Cell(case, decide(case, known), expected) for case, expected in cases))


def may_assume(principal: Principal, context: Mapping[str, str], model: Model) -> bool:
    """Say whether account A's parameters mean to let a principal assume the role, if its own account does."""
    intent = model.intent
    mfa = context.get("aws:MultiFactorAuthPresent") == "true" or not intent.mfa
    return (
        principal.account in intent.admitted
        and context.get("sts:ExternalId") in intent.external_ids
        and any(_is_named(context["sts:RoleSessionName"], name, principal) for name in intent.session_names)
        and any(_like_arn(principal.arn, pattern) for pattern in intent.caller_arns)
        and (principal.type == "AssumedRole" or (principal.type == "User" and mfa))
    )


def _is_named(session: str, pattern: str, principal: Principal) -> bool:
    bound = pattern.replace("${aws:PrincipalAccount}", principal.account)
    return session.startswith(bound.removesuffix("*")) if bound.endswith("*") else session == bound


def _like_arn(arn: str, pattern: str) -> bool:
    """Compare part by part; a wildcard is a whole part, or ends the last one."""
    *firsts, rest = pattern.split(":", 5)
    *parts, resource = arn.split(":", 5)
    fits = all(first in {"*", part} for first, part in zip(firsts, parts, strict=True))
    return fits and (resource.startswith(rest.removesuffix("*")) if rest.endswith("*") else resource == rest)


def call_arn(model: Model, route: Route) -> str:
    """Return the ARN of a route's example call."""
    method = "GET" if route.method == "ANY" else route.method
    return f"{model.api_arn}/{model.stage}/{method}{quote(route.example.path)}"


def executor(model: Model, session: str) -> Principal:
    """Make a session of the executor role."""
    arn = model.executor.arn
    return role(arn.split(":")[4], arn.split("/", 1)[1], session, model.executor.role_id)


def executor_policies(model: Model) -> tuple[str, ...]:
    """Return the names of the executor's own policies."""
    return (f"{model.executor.name} identity",)


def role(account: str, name: str, session: str = "job", role_id: str = "AROAJOBJOBJOBJOBJOBJO") -> Principal:
    """Make a session of a role."""
    arn = f"arn:aws:iam::{account}:role/{name}"
    return Principal(f"session of role {name} of {account}", arn, "AssumedRole", f"{role_id}:{session}", session)


def user(account: str, name: str) -> Principal:
    """Make a user."""
    arn = f"arn:aws:iam::{account}:user/{name}"
    return Principal(f"user {name} of {account}", arn, "User", "AIDAUSERUSERUSERUSERU")


def root(account: str) -> Principal:
    """Make the root user of an account."""
    return Principal(f"root user of {account}", f"arn:aws:iam::{account}:root", "Account", account)


def _allow(action: str, resource: str) -> Document:
    return document([{"Sid": "Allow", "Effect": "Allow", "Action": action, "Resource": resource}])
