"""Who may call what: every kind of caller on every route, decided from the policies and compared with the contract."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote

from cross_account_access import access_stack
from cross_account_access.documents import Document, document
from cross_account_access.engine import patterns
from cross_account_access.engine.case import Case, Principal
from cross_account_access.engine.decision import Decision, decide
from cross_account_access.model import Intent, Model, Role, Route

STRANGER = "333333333333"
"""An account that belongs to nobody, unless the model says otherwise: see `stranger`."""
ASSUME = "Assume the role"
# Name for the resource policy of an API with the access stack's guard.
_GUARD = "guarded API resource"
_OUTSIDE = "from outside the VPC endpoints"


@dataclass(frozen=True)
class Cell:
    """One request of the matrix."""

    case: Case
    decision: Decision
    expected: bool  # by contract and parameters

    @property
    def good(self) -> bool:
        """Whether the decision is the expected one."""
        return self.decision.allowed is self.expected


@dataclass(frozen=True)
class Row:
    """All requests of one kind of caller: to assume the role, then to call each route."""

    who: str
    situation: str  # what is special about the caller
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Subject:
    """An executor role, and the API that its sessions call."""

    role: Role
    asked: Intent  # by the parameters of its stack
    policy: str  # name of the API's resource policy
    calls: tuple[tuple[str, str, bool], ...]  # in words, ARN, and whether the role is meant to make it
    accounts: tuple[str, str]  # the role's and a consumer's


def subject(model: Model) -> Subject:
    """Return account A's executor role and its API."""
    calls = ((str(route), call_arn(model, route), bool(route.promised)) for route in model.routes)
    return Subject(model.executor, model.intent, f"{model.api} resource", tuple(calls), model.accounts())


def access_subject(model: Model) -> Subject | None:
    """Return the access stack's role, if there is one, and an API with its guard."""
    if not model.access_role:
        return None
    arns = access_stack.granted_arns(model)
    calls = [(" /".join(arn.split("/", 3)[2:]), arn.replace("*", "any"), True) for arn in arns]
    unlisted = "/".join([*arns[0].split("/")[:2], "DELETE", "not-listed"])
    if not any(patterns.matches(unlisted, patterns.glob(arn)) for arn in arns):
        calls.append(("DELETE /not-listed", unlisted, False))
    asked = access_stack.intent(model)
    accounts = model.stacks["access"].account, next(iter(asked.admitted), model.accounts()[1])
    return Subject(model.access_role, asked, _GUARD, tuple(calls), accounts)


def stranger(model: Model) -> str:
    """Return the id of an account that owns no stack of the model and is in none of its lists of consumers."""
    intents = [Intent.of(stack.parameters) for side, stack in model.stacks.items() if side != "b"]
    known = {stack.account for stack in model.stacks.values()}
    known |= {account for intent in intents for account in (*intent.consumers, *intent.suspended)}
    return next(account for number in count(int(STRANGER)) if (account := f"{number:012}") not in known)


def columns(of: Subject) -> list[str]:
    """Return the headings of the cells."""
    return [ASSUME, *(call for call, _, _ in of.calls)]


def documents(model: Model) -> dict[str, Document]:
    """Return the policies of the stacks, and those that callers may have in addition."""
    return {
        **model.documents,
        "administrator": _allow("*", "*"),
        "may assume": _allow("sts:AssumeRole", *(role.arn for role in (model.executor, model.access_role) if role)),
        "may invoke": _allow("execute-api:Invoke", "*"),
        "may assume another": _allow("sts:AssumeRole", f"arn:aws:iam::{model.stacks['a'].account}:role/Other"),
        **({_GUARD: access_stack.guarded_policy(model)} if model.access_role else {}),
    }


def rows(model: Model, of: Subject) -> Iterator[Row]:
    """Decide, for every kind of caller, whether it may assume the role and call each route."""
    a, b = of.accounts
    other = stranger(model)
    consumer = "account B" if b == model.accounts()[1] else f"account {b}"
    mine = (f"{of.role.name} identity",)
    known = documents(model)
    session = f"{b}-caller"
    right = {"sts:ExternalId": of.asked.external_ids[0], "sts:RoleSessionName": session}
    no_id = {name: value for name, value in right.items() if name != "sts:ExternalId"}
    spoofed = {**right, "sts:RoleSessionName": f"{other}-caller"}
    with_mfa = {**right, "aws:MultiFactorAuthPresent": "true"}
    own, admin, invoker = ("may assume", "may invoke"), ("administrator",), ("may invoke",)
    callers: list[tuple[str, str, Principal, tuple[str, ...], Mapping[str, str]]] = [
        ("The executor's session", f"assumed by {consumer}", session_of(of.role, session), mine, right),
        (f"A workload of {consumer}", "before it assumes the role", role(b, "job"), own, right),
        (f"A workload of {consumer}", "without the external id", role(b, "job"), own, no_id),
        (f"A workload of {consumer}", f"posing as account {other}", role(b, "job"), own, spoofed),
        (f"A user of {consumer}", "with MFA", user(b, "my-user"), own, with_mfa),
        (f"A user of {consumer}", "without MFA", user(b, "my-user"), own, right),
        (f"{consumer.capitalize()}'s root user", "", root(b), admin, with_mfa),
        ("An administrator of another account", other, role(other, "admin"), admin, right),
        ("An administrator of account A", "the API's own account", role(a, "admin"), admin, right),
        ("A user of account A", "who may invoke every API", user(a, "ann"), invoker, with_mfa),
    ]
    if model.intent.endpoints and of.policy == f"{model.api} resource":
        callers.insert(1, ("The executor's session", _OUTSIDE, session_of(of.role, session), mine, right))
    for who, situation, principal, identity, context in callers:
        way = {} if situation == _OUTSIDE else _arrival(model)
        assume = Case(principal, "sts:AssumeRole", of.role.arn, identity, f"{of.role.name} trust", context)
        cases = [(assume, "may assume" in identity and may_assume(principal, context, of.asked))]
        for _, arn, granted in of.calls:
            may = identity == mine and granted and situation != _OUTSIDE
            cases.append((Case(principal, "execute-api:Invoke", arn, identity, of.policy, way), may))
        yield Row(who, situation, tuple(Cell(case, decide(case, known), expected) for case, expected in cases))


def _arrival(model: Model) -> dict[str, str]:
    """Return what a request to a private API says about its way."""
    return {"aws:SourceVpce": model.intent.endpoints[0]} if model.intent.endpoints else {}


def admitted_rows(model: Model, of: Subject) -> Iterator[Row]:
    """Decide what sessions of the access stack's role may call, if account A's API admits it (MoreExecutorRoleIds)."""
    access = access_subject(model)
    if not access or access.role.role_id not in model.intent.more_role_ids:
        return
    known, consumer, identity = documents(model), access.accounts[1], (f"{access.role.name} identity",)
    name = f"{consumer}-caller"
    session = session_of(access.role, name)
    right = {"sts:ExternalId": of.asked.external_ids[0], "sts:RoleSessionName": name}
    granted = [patterns.glob(arn) for arn in access_stack.granted_arns(model)]
    cases = [(Case(session, "sts:AssumeRole", of.role.arn, identity, f"{of.role.name} trust", right), False)]
    for _, arn, _ in of.calls:
        may = consumer in access.asked.admitted and any(patterns.matches(arn, pattern) for pattern in granted)
        cases.append((Case(session, "execute-api:Invoke", arn, identity, of.policy, _arrival(model)), may))
    cells = tuple(Cell(case, decide(case, known), expected) for case, expected in cases)
    yield Row("The access stack's session", f"assumed by account {consumer}, {model.stacks['access'].source}", cells)


def may_assume(principal: Principal, context: Mapping[str, str], asked: Intent) -> bool:
    """Return whether a stack's parameters let a principal assume its role, if its own account does."""
    mfa = context.get("aws:MultiFactorAuthPresent") == "true" or not asked.mfa
    names = (name.replace("${aws:PrincipalAccount}", principal.account) for name in asked.session_names)
    return (
        principal.account in asked.admitted
        and context.get("sts:ExternalId") in asked.external_ids
        and any(patterns.matches(context["sts:RoleSessionName"], patterns.glob(name)) for name in names)
        and any(patterns.matches(principal.arn, patterns.arn(pattern)) for pattern in asked.caller_arns)
        and (principal.type == "AssumedRole" or (principal.type == "User" and mfa))
    )


def call_arn(model: Model, route: Route) -> str:
    """Return the ARN of a route's example call."""
    method = "GET" if route.method == "ANY" else route.method
    return f"{model.api_arn}/{model.stage}/{method}{quote(route.example.path)}"


def session_of(executor_role: Role, session: str) -> Principal:
    """Make a session of one of the stacks' roles."""
    arn = executor_role.arn
    return role(arn.split(":")[4], arn.split("/", 1)[1], session, executor_role.role_id)


def role(account: str, name: str, session: str = "job", role_id: str = "AROAJOBJOBJOBJOBJOBJO") -> Principal:
    """Make a session of any role."""
    arn = f"arn:aws:iam::{account}:role/{name}"
    return Principal(f"session of role {name} of {account}", arn, "AssumedRole", f"{role_id}:{session}", session)


def user(account: str, name: str) -> Principal:
    """Make a user."""
    arn = f"arn:aws:iam::{account}:user/{name}"
    return Principal(f"user {name} of {account}", arn, "User", "AIDAUSERUSERUSERUSERU")


def root(account: str) -> Principal:
    """Make the root user of an account."""
    return Principal(f"root user of {account}", f"arn:aws:iam::{account}:root", "Account", account)


def _allow(action: str, *resources: str) -> Document:
    return document([{"Sid": "Allow", "Effect": "Allow", "Action": action, "Resource": list(resources)}])
