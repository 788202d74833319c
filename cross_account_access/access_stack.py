"""Properties of a stack of template-access.yaml: what its role grants, whom it trusts, and whom its guard admits."""

import json
from collections.abc import Iterable, Iterator

from cross_account_access.documents import Document, document, expand
from cross_account_access.engine.evaluator import allowed, identity_allows
from cross_account_access.engine.fields import FALSE, TRUE, all_of, any_of, no
from cross_account_access.engine.request import Kind, Request
from cross_account_access.model import Intent, Model
from cross_account_access.proof import Claim, Property, new_request, statements
from cross_account_access.properties import may_become, suspended
from cross_account_access.templates import present


def intent(model: Model) -> Intent:
    """Return what the stack's parameters ask for."""
    return Intent.of(model.stacks["access"].parameters)


def granted_arns(model: Model) -> list[str]:
    """Return the ARNs of the methods that the stack's parameters list."""
    return list(model.stacks["access"].parameters["GrantedMethodArns"])


def guarded_policy(model: Model) -> Document:
    """Return the resource policy of an API whose only statement is the stack's output `GuardStatement`."""
    outputs = present(model.stacks["access"].template)["Outputs"]
    api = granted_arns(model)[0].partition("/")[0]
    return expand(document([json.loads(outputs["GuardStatement"]["Value"])]), f"{api}/")


def guard_claim(request: Request, policy: Document, arns: list[str], owner: str, role_ids: Iterable[str]) -> Claim:
    """Claim that a resource policy admits only sessions of the given roles, and all of those in its own account."""
    calls = all_of(request.action.like("execute-api:invoke"), request.resource.like(*arns))
    of_roles = any_of(*map(request.is_of_role, role_ids))
    decision = allowed(request, policy["Statement"], owner=owner)
    return Claim(request, calls, decision, of_roles, all_of(of_roles, request.is_of(owner)))


def _trust(model: Model, kind: Kind) -> Iterator[Claim]:
    request, owner = new_request(model, kind), model.stacks["access"].account
    trust = statements(model, f"{_role(model)} trust")
    may = any_of(*may_become(request, intent(model), owner))
    yield Claim(request, TRUE, allowed(request, trust, owner=owner, trust=True), may, may)


def _alone(model: Model, kind: Kind) -> Iterator[Claim]:
    request, owner = new_request(model, kind), model.stacks["access"].account
    trust = statements(model, f"{_role(model)} trust")
    yield Claim(request, TRUE, allowed(request, trust, owner=owner, identity=FALSE, trust=True), FALSE, FALSE)


def _grants(model: Model, kind: Kind) -> Iterator[Claim]:
    if kind is Kind.ROLE:
        request = new_request(model, kind)
        written = all_of(request.action.like("execute-api:invoke"), request.resource.like(*granted_arns(model)))
        may = all_of(written, no(suspended(request, intent(model))))
        decision = identity_allows(request, statements(model, f"{_role(model)} identity"))
        is_it = request.is_session_of(model.access_role.arn) if model.access_role else FALSE
        yield Claim(request, is_it, decision, may, may)


def _guard(model: Model, kind: Kind) -> Iterator[Claim]:
    role_ids = [model.access_role.role_id] if model.access_role else []
    owner = model.stacks["access"].account
    yield guard_claim(new_request(model, kind), guarded_policy(model), granted_arns(model), owner, role_ids)


def _role(model: Model) -> str:
    return model.access_role.name if model.access_role else ""


PROPERTIES = (
    Property(
        "An access stack's role may call the methods that GrantedMethodArns lists, unless its session is of a suspended"
        " consumer, and do nothing else",
        _grants,
    ),
    Property(
        "An access stack's role can be assumed by role sessions and users (with MFA, unless a parameter waives it) of"
        " the consumer accounts, or of those of the organization, with the external id and a session name bound to"
        " their account, and by nobody else",
        _trust,
    ),
    Property("Nobody can assume an access stack's role without a permission of their own account", _alone),
    Property(
        "An API with the output GuardStatement answers only sessions of the access stack's role on what is granted",
        _guard,
    ),
)
