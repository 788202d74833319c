"""What is claimed of the policies, for every principal, account, action, resource and context; and its proof by z3."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import z3

from access.iam import FALSE, TRUE, Field, Kind, Request, allowed, identity_allows
from access.policies import Document, Policies
from access.templates import ACCOUNTS

A, B = ACCOUNTS["a"], ACCOUNTS["b"]
_TIMEOUT_MS = 20_000

# Granted to the executor: method and path, in which * stands for the id of an order.
GRANTED_ROUTES = ("GET/whoami", "POST/orders", "GET/orders", "GET/orders/*")
ROUTES = (*GRANTED_ROUTES, "DELETE/orders/*")


@dataclass(frozen=True)
class Claim:
    """A fact in formulas: within its domain, the policies allow exactly what is intended.

    Attributes:
        request: The request that they speak about.
        domain: Which requests the fact is about.
        allowed: When the policies allow the request.
        intended: When it should be allowed.
    """

    request: Request
    domain: Any
    allowed: Any
    intended: Any


@dataclass(frozen=True)
class Fact:
    """A claim about the policies.

    Attributes:
        sentence: The claim in words.
        claim: Makes the formulas, from policies and a kind of principal.
    """

    sentence: str
    claim: Callable[[Policies, Kind], Claim]


@dataclass(frozen=True)
class Verdict:
    """What the solver says about a fact.

    Attributes:
        proven: Whether it holds.
        seconds: How long the proof took.
        counterexample: A request in words that contradicts the fact.
    """

    proven: bool
    seconds: float
    counterexample: str = ""


class UndecidedError(Exception):
    """The solver gave no answer in time."""


def prove(fact: Fact, policies: Policies) -> Verdict:
    """Look for a request that is allowed but not intended, or intended but not allowed.

    Args:
        fact: The fact.
        policies: The policies.

    Returns:
        That there is none, or one such request.

    Raises:
        UndecidedError: z3 did not decide within 20 seconds.
        NotModelledError: The policies use something that the logic does not know.
    """
    started = time.perf_counter()
    for claim in (fact.claim(policies, kind) for kind in Kind):
        model = find(claim, z3.Xor(claim.allowed, claim.intended))
        if model is not None:
            too_much = z3.is_true(model.eval(claim.allowed, model_completion=True))
            problem = "allowed, but not intended" if too_much else "intended, but not allowed"
            return Verdict(False, time.perf_counter() - started, f"{problem}: {claim.request.describe(model)}")
    return Verdict(True, time.perf_counter() - started)


def reads(fact: Fact, policies: Policies) -> set[str]:
    """Return the names of the policy documents that a fact depends on."""
    documents = _Recording(policies.documents)
    for kind in Kind:
        fact.claim(replace(policies, documents=documents), kind)
    return documents.read


class _Recording(dict[str, Document]):
    def __init__(self, documents: Mapping[str, Document]) -> None:
        super().__init__(documents)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Document:
        self.read.add(name)
        return super().__getitem__(name)


def find(claim: Claim, formula: Any) -> Any:
    """Find a request in the domain of a claim for which a formula holds.

    Args:
        claim: The claim.
        formula: A formula over its request.

    Returns:
        A model, or None if there is no such request.

    Raises:
        UndecidedError: z3 did not decide within 20 seconds.
    """
    solver = z3.Solver()
    solver.set(timeout=_TIMEOUT_MS)
    solver.add(claim.request.guarantees, claim.domain, formula)
    answer = solver.check()
    if answer == z3.unknown:
        raise UndecidedError(solver.reason_unknown())
    return solver.model() if answer == z3.sat else None


def _request(policies: Policies, kind: Kind, prefix: str = "", session: Field | None = None) -> Request:
    roles = [name.removesuffix(".Arn") for name in policies.names if name.endswith("Role.Arn")]
    return Request(
        kind, {policies.names[f"{role}.Arn"]: policies.names[f"{role}.RoleId"] for role in roles}, prefix, session
    )


def _statements(policies: Policies, name: str) -> list[Any]:
    found: list[Any] = policies[name]["Statement"]
    return found


def _executor_trust(policies: Policies, kind: Kind) -> Claim:
    request, intent = _request(policies, kind), policies.intent
    session = request.session_to_be
    external_id = request.key("sts:ExternalId")
    mfa = request.key("aws:MultiFactorAuthPresent")

    def named_for(pattern: str) -> Any:
        if pattern == "${aws:PrincipalAccount}-*":
            return request.account.begins(session, "-")
        return session.like(pattern)

    with_mfa = z3.And(mfa.present, mfa.like("true")) if intent.mfa else TRUE
    intended = z3.And(
        request.action.like("sts:assumerole"),
        request.is_of(*intent.consumers),
        external_id.present,
        external_id.like(*intent.external_ids),
        z3.Or(*map(named_for, intent.session_names)),
        z3.Or(*map(request.principal_like, intent.caller_arns)),
        {Kind.ROLE: TRUE, Kind.USER: with_mfa}.get(kind, z3.BoolVal(False)),
    )
    decision = allowed(request, _statements(policies, "ExecutorRole trust"), owner=A, trust=True)
    return Claim(request, TRUE, decision, intended)


def _session_names(policies: Policies, kind: Kind) -> Claim:
    request = _request(policies, kind)
    session = request.session_to_be
    decision = allowed(request, _statements(policies, "ExecutorRole trust"), owner=A, trust=True)
    own = request.account.begins(session, "-") if request.is_iam else FALSE
    return Claim(request, TRUE, decision, z3.And(decision, own))


def _methods(policies: Policies, request: Request, routes: tuple[str, ...]) -> Any:
    prefix = f"{policies.api_arn}/{policies.intent.stage}"
    return request.resource.like(*(f"{prefix}/{route}" for route in routes))


def _executor_identity(policies: Policies, kind: Kind) -> Claim:
    request = _request(policies, kind)
    decision = identity_allows(request, _statements(policies, "ExecutorRole identity"))
    intended = z3.And(request.action.like("execute-api:invoke"), _methods(policies, request, GRANTED_ROUTES))
    return Claim(request, TRUE, decision, intended)


def _api_calls(
    policies: Policies, kind: Kind, *, domain: Callable[[Request], Any], session: Field | None = None
) -> Claim:
    """Calls of the API, with all other principals' own policies at their widest."""
    request = _request(policies, kind, session=session)
    executor, identity = _as_deployed(policies, request, "ExecutorRole")
    decision = allowed(request, _statements(policies, "OrdersApi resource"), owner=A, identity=identity)
    intended = z3.And(executor, _methods(policies, request, GRANTED_ROUTES))
    on_api = z3.And(request.action.like("execute-api:invoke"), request.resource.like(f"{policies.api_arn}/*"))
    return Claim(request, z3.And(on_api, domain(request)), decision, intended)


def _consumer_that_the_backend_sees(policies: Policies, kind: Kind) -> Claim:
    """A principal assumes the executor role, then the session calls: its name begins with the principal's account."""
    first = _request(policies, kind, "first ")
    name = first.session_to_be
    assumed = allowed(first, _statements(policies, "ExecutorRole trust"), owner=A, trust=True)
    call = _api_calls(policies, Kind.ROLE, domain=lambda _: TRUE, session=name)
    domain = z3.And(
        call.domain,
        assumed,
        first.action.like("sts:assumerole"),
        call.request.is_session_of(policies.names["ExecutorRole.Arn"]),
    )
    # The backend takes what stands between the colon of `aws:userid` (<role id>:<session name>) and the first hyphen.
    is_consumer = z3.And(first.account.begins(name, "-"), first.is_of(*policies.intent.consumers))
    claim = Claim(call.request, domain, call.allowed, z3.And(call.allowed, is_consumer))
    return replace(claim, domain=z3.And(domain, first.guarantees))


def _service_trust(role: str, service: str, *, of_account: str = "") -> Callable[[Policies, Kind], Claim]:
    def claim(policies: Policies, kind: Kind) -> Claim:
        request = _request(policies, kind)
        source = request.key("aws:SourceAccount")
        owner = policies.names[f"{role}.Arn"].split(":")[4]
        intended = [request.action.like("sts:assumerole"), request.is_service(service)]
        if of_account:
            intended += [source.present, source.like(of_account)]
        decision = allowed(request, _statements(policies, f"{role} trust"), owner=owner, trust=True)
        return Claim(request, TRUE, decision, z3.And(*intended))

    return claim


def _identity(name: str, grants: Mapping[tuple[str, ...], tuple[str, ...]]) -> Callable[[Policies, Kind], Claim]:
    """A principal may do exactly these actions on these resources; both as lists of literals and names."""

    def claim(policies: Policies, kind: Kind) -> Claim:
        request = _request(policies, kind)
        intended = [
            z3.And(
                request.action.like(*(action.lower() for action in actions)),
                request.resource.like(*(_physical(resource, policies) for resource in resources)),
            )
            for actions, resources in grants.items()
        ]
        decision = identity_allows(request, _statements(policies, f"{name} identity"))
        return Claim(request, TRUE, decision, z3.Or(*intended))

    return claim


def _physical(resource: str, policies: Policies) -> str:
    name, slash, rest = resource.partition("/")
    return policies.names.get(name, name) + slash + rest


def _as_deployed(policies: Policies, request: Request, *roles: str) -> tuple[Any, Any]:
    """Say when the principal is one of some roles, and when its policy allows: theirs as deployed, others at widest."""
    sessions = {role: request.is_session_of(policies.names[f"{role}.Arn"]) for role in roles}
    identity = (
        z3.Implies(is_session, identity_allows(request, _statements(policies, f"{role} identity")))
        for role, is_session in sessions.items()
    )
    return z3.Or(*sessions.values()), z3.And(*identity)


def _backend_calls(policies: Policies, kind: Kind) -> Claim:
    """Invocations of the backend, by anyone but whom account A's own administrators permit it beside the stack."""
    request = _request(policies, kind)
    source = request.key("aws:SourceArn")
    of_stack, identity = _as_deployed(policies, request, "ExecutorRole", "OrdersFunctionRole")
    decision = allowed(request, _statements(policies, "OrdersFunction resource"), owner=A, identity=identity)
    intended = z3.And(
        request.action.like("lambda:invokefunction"),
        request.is_service("apigateway.amazonaws.com"),
        source.present,
        source.like(*(f"{policies.api_arn}/*/{route}" for route in ROUTES)),
    )
    domain = z3.And(
        request.resource.like(policies.names["OrdersFunction.Arn"]),
        request.action.like("lambda:*"),
        z3.Or(z3.Not(request.is_of(A)), of_stack),
    )
    return Claim(request, domain, decision, intended)


def _caller_invocations(policies: Policies, kind: Kind) -> Claim:
    """Invocations of the caller, by anyone but whom account B's own administrators permit it beside the stack."""
    request = _request(policies, kind)
    of_stack, identity = _as_deployed(policies, request, "CallerFunctionRole", "ScheduleRole")
    decision = allowed(request, _statements(policies, "CallerFunction resource"), owner=B, identity=identity)
    intended = z3.And(
        request.is_session_of(policies.names["ScheduleRole.Arn"]), request.action.like("lambda:invokefunction")
    )
    domain = z3.And(
        request.resource.like(policies.names["CallerFunction.Arn"]),
        request.action.like("lambda:*"),
        z3.Or(z3.Not(request.is_of(B)), of_stack),
    )
    return Claim(request, domain, decision, intended)


def _queue(name: str) -> Callable[[Policies, Kind], Claim]:
    def claim(policies: Policies, kind: Kind) -> Claim:
        request = _request(policies, kind)
        tls = request.key("aws:SecureTransport")
        decision = allowed(request, _statements(policies, f"{name} resource"), owner=B)
        domain = z3.And(request.resource.like(policies.names[f"{name}.Arn"]), request.action.like("sqs:*"))
        return Claim(request, domain, decision, z3.And(request.is_of(B), tls.like("true")))

    return claim


FACTS = (
    Fact(
        "The executor role can be assumed by role sessions and MFA-authenticated users of the consumer accounts, with"
        " the external id and a session name bound to their account, and by nobody else",
        _executor_trust,
    ),
    Fact(
        "A session name can never carry the id of an account other than the one that assumes the role", _session_names
    ),
    Fact(
        "The executor role may do nothing but execute-api:Invoke on the granted methods of this API's stage",
        _executor_identity,
    ),
    Fact(
        "Whatever anybody's own policies say, the API answers only sessions of the executor role, on the granted"
        " methods",
        lambda policies, kind: _api_calls(policies, kind, domain=lambda _: TRUE),
    ),
    Fact(
        "Nobody outside account A can call the API directly, whatever their own account allows",
        lambda policies, kind: _api_calls(policies, kind, domain=lambda request: z3.Not(request.is_of(A))),
    ),
    Fact(
        "Nobody in account A but the executor's sessions can call the API, administrators included",
        lambda policies, kind: _api_calls(
            policies,
            kind,
            domain=lambda request: z3.And(
                request.is_of(A), z3.Not(request.is_session_of(policies.names["ExecutorRole.Arn"]))
            ),
        ),
    ),
    Fact(
        "The consumer that the backend reads from the caller's session is the account that assumed the role",
        _consumer_that_the_backend_sees,
    ),
    Fact(
        "Nobody outside account A, no role of the stack and no service but API Gateway for this API's own routes can"
        " invoke the backend",
        _backend_calls,
    ),
    Fact("Only Lambda can assume the backend's role", _service_trust("OrdersFunctionRole", "lambda.amazonaws.com")),
    Fact(
        "The backend's role reaches its two tables, its log group and X-Ray, action by action, and nothing else",
        _identity(
            "OrdersFunctionRole",
            {
                ("logs:CreateLogStream", "logs:PutLogEvents"): ("OrdersLogGroup.Arn",),
                ("xray:PutTraceSegments", "xray:PutTelemetryRecords"): ("*",),
                ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"): ("OrdersTable.Arn",),
                ("dynamodb:Query",): ("OrdersTable.Arn/index/ByCreation", "OrdersTable.Arn/index/ByStatus"),
                ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"): (
                    "IdempotencyTable.Arn",
                ),
            },
        ),
    ),
    Fact("Only Lambda can assume the caller's role", _service_trust("CallerFunctionRole", "lambda.amazonaws.com")),
    Fact(
        "The caller's role may assume the executor role, serve its own queues, log and trace, and do nothing else",
        _identity(
            "CallerFunctionRole",
            {
                ("sts:AssumeRole",): ("ExecutorRole.Arn",),
                ("logs:CreateLogStream", "logs:PutLogEvents"): ("CallerLogGroup.Arn",),
                ("xray:PutTraceSegments", "xray:PutTelemetryRecords"): ("*",),
                ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"): ("CallQueue.Arn",),
                ("sqs:SendMessage",): ("FailedCallQueue.Arn",),
            },
        ),
    ),
    Fact(
        "Nobody outside account B, no service and no role of the stack but the schedule's can invoke the caller",
        _caller_invocations,
    ),
    Fact(
        "Only EventBridge Scheduler, on behalf of account B, can assume the schedule's role",
        _service_trust("ScheduleRole", "scheduler.amazonaws.com", of_account=B),
    ),
    Fact(
        "The schedule's role may invoke the caller and keep failed calls, and nothing else",
        _identity(
            "ScheduleRole",
            {("lambda:InvokeFunction",): ("CallerFunction.Arn",), ("sqs:SendMessage",): ("FailedCallQueue.Arn",)},
        ),
    ),
    Fact("Nobody can use the call queue without TLS or from outside account B", _queue("CallQueue")),
    Fact("Nobody can use the queue of failed calls without TLS or from outside account B", _queue("FailedCallQueue")),
    Fact(
        "The policy for people grants assuming the executor role, and nothing else",
        _identity("ApiAccessPolicy", {("sts:AssumeRole",): ("ExecutorRole.Arn",)}),
    ),
)
