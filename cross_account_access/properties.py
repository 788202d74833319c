"""Properties of the policies, for every principal, account, action, resource and context.

They are stated in terms of the model: of routes, grants, parameters and references. None names a route or a resource.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import z3

from cross_account_access import contract
from cross_account_access.documents import listed
from cross_account_access.engine import patterns
from cross_account_access.engine.evaluator import allowed, identity_allows
from cross_account_access.engine.fields import FALSE, TRUE, Field, all_of, any_of, no
from cross_account_access.engine.request import Kind, Request
from cross_account_access.model import Intent, Model, Role, Route, Use
from cross_account_access.proof import Claim, Property, new_request, statements
from cross_account_access.rights import GOVERNED, INTERFACES, READ_RIGHTS, RIGHTS, SOURCELESS
from cross_account_access.stack import of_type

# --- Routes and the contract ------------------------------------------------------------------------------------------


def _unsigned_routes(model: Model) -> Iterator[str]:
    for route in model.routes:
        if route.authorizer != "AWS_IAM":
            yield f"{route} has the authorizer {route.authorizer}"
        if not route.function:
            yield f"{route} has no function behind it"
    # Methods that are resources of their own.
    known = set(map(str, model.routes))
    for _, api, name, authorizer in (fact.key for fact in model.stacks["a"].facts if fact.key[0] == "route"):
        if api == model.api and name not in known and authorizer != "AWS_IAM":
            yield f"{name} has the authorizer {authorizer}"


def _undocumented(model: Model) -> Iterator[str]:
    routes = {(route.method, route.path) for route in model.routes}
    operations = set(contract.read(model.folder))
    yield from (f"{method} {path} is not in the contract" for method, path in sorted(routes - operations))
    yield from (f"{method} {path} is in the contract only" for method, path in sorted(operations - routes))


def _dead_grants(model: Model) -> Iterator[str]:
    calls = [f"{model.api_arn}/{model.stage}/{route.method}{route.example.path}" for route in model.routes]
    for statement in statements(model, f"{model.executor.name} identity"):
        for arn in listed(statement.get("Resource", [])):
            if not any(patterns.matches(call, patterns.glob(arn)) for call in calls):
                yield f"{arn} is no route of the API"


def _allowing_guard(model: Model) -> Iterator[str]:
    for statement in statements(model, f"{model.api} resource"):
        if statement["Effect"] != "Deny":
            yield f"the statement {statement.get('Sid')} allows"


def method_arn(model: Model, route: Route) -> str:
    """Return the narrowest ARN pattern that matches every call of a route: IAM's `*` also matches slashes."""
    method = "*" if route.method == "ANY" else route.method
    path = "/".join("*" if part.startswith("{") else part for part in route.path.split("/"))
    return f"{model.api_arn}/{model.stage}/{method}{path}"


def is_call_of(model: Model, request: Request, route: Route) -> Any:
    """Whether API Gateway sends a request to the route, because no other one fits better, as a formula."""

    def fits(candidate: Route) -> Any:
        prefix = patterns.literal(f"{model.api_arn}/{model.stage}/")
        return request.resource.matches(prefix + patterns.route(candidate.method, candidate.path))

    better = [other for other in model.routes if other is not route and _precedes(other, route)]
    return all_of(fits(route), no(any_of(*map(fits, better))))


def _precedes(one: Route, other: Route) -> bool:
    """Return whether API Gateway prefers a route where both fit: literals to parameters, these to greedy ones."""

    def rank(route: Route) -> tuple[Any, ...]:
        kinds = [(part.startswith("{")) + part.endswith("+}") for part in route.path.split("/")]
        return (*kinds, 9), route.method == "ANY"

    return rank(one) < rank(other)


def _may_call(model: Model, request: Request) -> Any:
    promised = [route for route in model.routes if route.promised]
    others = [route for route in model.routes if not route.promised]
    return all_of(
        request.resource.like(*(method_arn(model, route) for route in promised)) if promised else FALSE,
        no(any_of(*(is_call_of(model, request, route) for route in others))),
    )


def _must_call(model: Model, request: Request) -> Any:
    return any_of(*(is_call_of(model, request, route) for route in model.routes if route.promised))


# --- Who gets a session -----------------------------------------------------------------------------------------------


def executor_trust(model: Model, request: Request) -> Any:
    """Whether the executor's trust policy admits a principal, if its own account does, as a formula."""
    name = f"{model.executor.name} trust"
    return allowed(request, statements(model, name), owner=model.stacks["a"].account, trust=True)


def _executor_trust(model: Model, kind: Kind) -> Iterator[Claim]:
    request, intent = new_request(model, kind), model.intent
    may_assume, may_tag = may_become(request, intent, model.stacks["a"].account)
    needed = all_of(may_assume, request.is_of(*intent.admitted))
    yield Claim(request, TRUE, executor_trust(model, request), any_of(may_assume, may_tag), needed)


def may_become(request: Request, intent: Intent, owner: str) -> tuple[Any, Any]:
    """Whether a principal may assume an executor role, and whether it may pass tags, if its own account allows it.

    The owner is the role's account, which is no consumer even if it belongs to the organization.
    """
    external_id, mfa = request.key("sts:ExternalId"), request.key("aws:MultiFactorAuthPresent")
    session = request.session_to_be

    def named_for(pattern: str) -> Any:
        if pattern == "${aws:PrincipalAccount}-*":
            return request.account.begins(session, "-") if request.is_iam else FALSE
        return session.like(pattern)

    by_type = {
        Kind.ROLE: TRUE if intent.identity_center else no(request.principal_like(_IDENTITY_CENTER)),
        Kind.USER: all_of(mfa.present, mfa.like("true")) if intent.mfa else TRUE,
    }
    is_consumer = request.is_of(*intent.consumers)
    if intent.organization:
        organization, paths = request.key("aws:PrincipalOrgID"), request.key("aws:PrincipalOrgPaths")
        in_paths = all_of(paths.present, any_of(*map(paths.like, intent.organization_paths)))
        is_consumer = all_of(
            organization.present,
            organization.like(intent.organization),
            in_paths if intent.organization_paths else TRUE,
            no(request.is_of(owner)),
        )
    may_pass = all_of(is_consumer, any_of(*map(request.principal_like, intent.caller_arns)))
    may_assume = all_of(
        request.action.like("sts:assumerole"),
        may_pass,
        external_id.present,
        external_id.like(*intent.external_ids),
        any_of(*map(named_for, intent.session_names)),
        by_type.get(request.kind, FALSE),
    )
    # Tags and a source identity go with AssumeRole and grant nothing on their own.
    may_tag = all_of(request.action.like("sts:tagsession", "sts:setsourceidentity"), may_pass)
    return may_assume, may_tag


_IDENTITY_CENTER = "arn:*:iam::*:role/aws-reserved/sso.amazonaws.com/*"


def _session_names(model: Model, kind: Kind) -> Iterator[Claim]:
    request = new_request(model, kind)
    own = request.account.begins(request.session_to_be, "-") if request.is_iam else FALSE
    assumes = request.action.like("sts:assumerole")
    yield Claim(request, assumes, executor_trust(model, request), own, FALSE)


def _service_trust(model: Model, kind: Kind) -> Iterator[Claim]:
    for role in model.roles:
        if role in {model.executor, model.access_role}:
            continue
        request = new_request(model, kind)
        account = model.stacks[role.side].account
        source = request.key("aws:SourceAccount")
        on_behalf = all_of(source.present, source.like(account))
        assumes = request.action.like("sts:assumerole")
        of_service = {service: all_of(assumes, request.is_service(service)) for service in role.services}
        intended = [
            is_it if service in SOURCELESS else all_of(is_it, on_behalf) for service, is_it in of_service.items()
        ]
        decision = allowed(request, statements(model, f"{role.name} trust"), owner=account, trust=True)
        yield Claim(request, TRUE, decision, any_of(*intended), all_of(on_behalf, any_of(*of_service.values())))


# --- Who may call -----------------------------------------------------------------------------------------------------


def _executor_identity(model: Model, kind: Kind) -> Iterator[Claim]:
    if kind is not Kind.ROLE:
        return
    request = new_request(model, kind)
    decision = identity_allows(request, statements(model, f"{model.executor.name} identity"))
    invokes = request.action.like("execute-api:invoke")
    intended, needed = (all_of(invokes, calls(model, request)) for calls in (_may_call, _must_call))
    yield Claim(request, request.is_session_of(model.executor.arn), decision, intended, needed)


def api_calls(model: Model, request: Request) -> tuple[Any, Any]:
    """Whether a request is a call of the API, and whether it is allowed if others' own policies allow everything."""
    _, identity = as_deployed(model, request, [model.executor])
    owner = model.stacks["a"].account
    decision = allowed(request, statements(model, f"{model.api} resource"), owner=owner, identity=identity)
    on_api = all_of(request.action.like("execute-api:invoke"), request.resource.like(f"{model.api_arn}/*"))
    return on_api, decision


def suspended(request: Request, asked: Intent) -> Any:
    """Whether a request comes from a session of a suspended consumer, as a formula."""
    return any_of(*(request.session.like(f"{account}-*") for account in asked.suspended))


def arrives(request: Request, asked: Intent) -> Any:
    """Whether a request reaches the API: a private one through its endpoints only, as a formula."""
    endpoint = request.key("aws:SourceVpce")
    return all_of(endpoint.present, any_of(*map(endpoint.like, asked.endpoints))) if asked.endpoints else TRUE


def _api_calls(
    model: Model, kind: Kind, domain: Callable[[Request], Any] = lambda _: TRUE, session: Field | None = None
) -> Iterator[Claim]:
    request = new_request(model, kind, session=session)
    on_api, decision = api_calls(model, request)
    executor = request.is_session_of(model.executor.arn)
    admitted = all_of(no(suspended(request, model.intent)), arrives(request, model.intent))
    # Their identity policies are not part of these stacks.
    others = any_of(*map(request.is_of_role, model.intent.more_role_ids))
    intended = all_of(admitted, any_of(all_of(executor, _may_call(model, request)), others))
    needed = all_of(admitted, executor, _must_call(model, request))
    yield Claim(request, all_of(on_api, domain(request)), decision, intended, needed)


def _calls_of_outsiders(model: Model, kind: Kind) -> Iterator[Claim]:
    return _api_calls(model, kind, lambda request: no(request.is_of(model.stacks["a"].account)))


def _calls_of_insiders(model: Model, kind: Kind) -> Iterator[Claim]:
    def insider(request: Request) -> Any:
        executors = [request.is_session_of(model.executor.arn)]
        executors += map(request.is_of_role, model.intent.more_role_ids)
        return all_of(request.is_of(model.stacks["a"].account), no(any_of(*executors)))

    return _api_calls(model, kind, insider)


def _consumer_that_the_backend_sees(model: Model, kind: Kind) -> Iterator[Claim]:
    """A principal assumes the role and its session calls: the session's name begins with the principal's account."""
    first = new_request(model, kind, "first ")
    name = first.session_to_be
    # The backend reads the text between the colon of `aws:userid` (<role id>:<session name>) and the first hyphen.
    begins = first.account.begins(name, "-") if first.is_iam else FALSE
    is_consumer = all_of(begins, first.is_of(*model.intent.consumers))
    for call in _api_calls(model, Kind.ROLE, session=name):
        domain = all_of(
            call.domain,
            executor_trust(model, first),
            first.action.like("sts:assumerole"),
            call.request.is_session_of(model.executor.arn),
        )
        claim = Claim(call.request, domain, call.allowed, is_consumer, FALSE)
        yield replace(claim, domain=all_of(domain, first.guarantees))


# --- What the roles may do --------------------------------------------------------------------------------------------


def _role_identities(model: Model, kind: Kind) -> Iterator[Claim]:
    for role in model.roles if kind is Kind.ROLE else ():
        if role not in {model.executor, model.access_role}:
            request = new_request(model, kind)
            yield _identity(model, request, request.is_session_of(role.arn), f"{role.name} identity", role.uses)


def _standalone_policies(model: Model, kind: Kind) -> Iterator[Claim]:
    for name, side, _ in model.named("AWS::IAM::ManagedPolicy") if kind in {Kind.USER, Kind.ROLE} else ():
        request = new_request(model, kind)
        anyone = request.is_of(model.stacks[side].account)
        yield _identity(model, request, anyone, f"{name} identity", model.way_in if side == "b" else ())


def _other_holders(model: Model) -> Iterator[str]:
    """Find users, groups and roles that have a policy, and are neither the stacks' roles nor named by account B."""
    given = model.stacks["b"].parameters
    named = {f"user named {name}" for name in given.get("ApiUserNames", [])}
    named |= {f"role named {name}" for name in given.get("ApiRoleNames", [])}
    for_people = [statements(model, f"{name} identity") for name, _, _ in model.named("AWS::IAM::ManagedPolicy")]
    own = {name for kind in ("AWS::IAM::User", "AWS::IAM::Group") for name, _, _ in model.named(kind)}
    for name in model.documents:
        holder, _, kind = name.rpartition(" ")
        is_outside = " named " in holder and not (holder in named and model[name]["Statement"] in for_people)
        if kind == "identity" and (holder in own or is_outside):
            yield f"{holder} has a policy: {', '.join(str(entry.get('Sid')) for entry in statements(model, name))}"


def _identity(model: Model, request: Request, domain: Any, document: str, uses: Iterable[Use]) -> Claim:
    intended, needed = [], []
    for use in uses:
        if use.type == "AWS::EC2::NetworkInterface":
            code = request.key("lambda:SourceFunctionArn")
            by_code = all_of(code.present, code.arn_like(use.arn))
            right = all_of(request.action.like(*map(str.lower, INTERFACES)), no(by_code))
            intended.append(right)
            needed.append(right)
        for actions, suffixes, required in (READ_RIGHTS if use.event_source else RIGHTS).get(use.type, ()):
            # X-Ray's actions do not support resource-level permissions.
            resources = [f"{use.arn}{suffix}" for suffix in suffixes]
            right = all_of(request.action.like(*map(str.lower, actions)), request.resource.like(*resources))
            intended.append(right)
            if required:
                needed.append(right)
    decision = identity_allows(request, statements(model, document))
    return Claim(request, domain, decision, any_of(*intended), any_of(*needed))


def as_deployed(model: Model, request: Request, roles: Iterable[Role]) -> tuple[Any, Any]:
    """Whether the principal is one of the roles, and whether its policy as deployed allows it (any other's does)."""
    sessions = {role.name: request.is_session_of(role.arn) for role in roles}
    identity = (
        z3.Implies(is_session, identity_allows(request, statements(model, f"{name} identity")))
        for name, is_session in sessions.items()
    )
    return any_of(*sessions.values()), all_of(*identity)


# --- What the resources' own policies allow ---------------------------------------------------------------------------


def _invocations(model: Model, kind: Kind) -> Iterator[Claim]:
    for name, side, arn in model.named("AWS::Lambda::Function"):
        request = new_request(model, kind)
        account = model.stacks[side].account
        roles = [role for role in model.roles if role.side == side]
        of_stack, identity = as_deployed(model, request, roles)
        decision = allowed(request, statements(model, f"{name} resource"), owner=account, identity=identity)
        source = request.key("aws:SourceArn")
        by_route = all_of(
            request.is_service("apigateway.amazonaws.com"),
            source.present,
            source.like(
                *(
                    method_arn(model, route).replace(f"/{model.stage}/", "/*/", 1)
                    for route in model.routes
                    if route.function == name
                )
            ),
        )
        users = [role.arn for role in roles if any(use.arn == arn for use in role.uses)]
        invokes = request.action.like("lambda:invokefunction")
        intended = all_of(invokes, any_of(by_route, *map(request.is_session_of, users)))
        domain = all_of(
            request.resource.like(arn),
            request.action.like("lambda:*"),
            any_of(no(request.is_of(account)), of_stack),
        )
        yield Claim(request, domain, decision, intended, intended)


def _resource_policies(model: Model, kind: Kind) -> Iterator[Claim]:
    for governed, what in GOVERNED.items():
        for name, side, arn in model.named(governed):
            if f"{name} resource" not in model.documents:
                continue
            request = new_request(model, kind)
            account = model.stacks[side].account
            source, tls = request.key("aws:SourceAccount"), request.key("aws:SecureTransport")
            secure = any_of(tls.like("true"), no(request.action.like(*what.with_tls))) if what.with_tls else TRUE
            on_behalf = all_of(source.present, source.like(account), request.action.like(*what.by_services))
            services = model.publishers(arn) if governed == "AWS::SNS::Topic" else {"*"}
            by_service = all_of(any_of(*map(request.is_service, services)), on_behalf)
            decision = allowed(
                request, statements(model, f"{name} resource"), owner=account, trust=governed == "AWS::KMS::Key"
            )
            own = all_of(secure, request.is_of(account))
            domain = all_of(request.resource.like(arn, f"{arn}{what.below}"), request.action.like(what.actions))
            yield Claim(request, domain, decision, any_of(own, all_of(secure, by_service)), own)


def other_ways_in(model: Model) -> Iterator[str]:
    """Find other APIs and function URLs."""
    for kind in ("AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api", "AWS::Lambda::Url"):
        for name in of_type(model.stacks["a"].resources, kind):
            if name != model.api:
                yield f"{name} ({kind}) is another way in"


PROPERTIES = (
    Property(
        "Every route of the API requires a signature (AWS_IAM) and has a function behind it",
        violations=_unsigned_routes,
    ),
    Property("The API is the only one in account A's template, and no function has a URL", violations=other_ways_in),
    Property("The API's routes are the operations of its contract", violations=_undocumented),
    Property("Every method that the executor role is granted is a route of the API", violations=_dead_grants),
    Property("The API's resource policy only denies", violations=_allowing_guard),
    Property(
        "The executor role can be assumed by role sessions and users (with MFA, unless a parameter waives it) of the"
        " consumer accounts, with the external id and a session name bound to their account, and by nobody else",
        _executor_trust,
    ),
    Property(
        "A session name can never carry the id of an account other than the one that assumes the role", _session_names
    ),
    Property(
        "The executor role may do nothing but call the routes that the contract grants, on this API's stage",
        _executor_identity,
    ),
    Property(
        "Whatever anybody's own policies say, the API answers only sessions of the executor role, on granted routes",
        _api_calls,
    ),
    Property(
        "Nobody outside account A can call the API directly, whatever their own account allows", _calls_of_outsiders
    ),
    Property(
        "Nobody in account A but the executor's sessions can call the API, administrators included", _calls_of_insiders
    ),
    Property(
        "The consumer that the backend reads from the caller's session is the account that assumed the role",
        _consumer_that_the_backend_sees,
    ),
    Property(
        "Nobody outside its account, no service but API Gateway for its own routes, and no role of the stack but those"
        " that refer to it can invoke a function",
        _invocations,
    ),
    Property(
        "Every other role can be assumed only by the service that uses it, on behalf of its account", _service_trust
    ),
    Property(
        "Every function and schedule may use what it refers to (its own tables, queues, log group), and nothing else"
        " but AWS's managed policies for logs and traces",
        _role_identities,
    ),
    Property("The policy for account B's people grants using the API, and nothing else", _standalone_policies),
    Property(
        "Nobody but the stacks' roles, and those whom account B names for its people's policy, has a policy of theirs",
        violations=_other_holders,
    ),
    Property(
        "Nobody can use a queue, topic, bucket or key from outside its account, nor a queue or topic without TLS",
        _resource_policies,
    ),
)
