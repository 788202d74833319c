"""Requests by the thousand: everybody, in every state, on every route."""

import itertools
from collections.abc import Iterator
from urllib.parse import quote

from cross_account_access.engine.case import Case, Principal
from cross_account_access.matrix import STRANGER, role, root, session_of, user
from cross_account_access.model import Model

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def assumptions(model: Model) -> Iterator[Case]:
    """Make requests to assume the executor role."""
    a, b = model.accounts()
    principals = [
        role(b, "job-nightly"),
        role(b, "path/to/other"),
        role(STRANGER, "job-nightly"),
        role(a, "admin"),
        session_of(model.executor, f"{b}-job"),
        user(b, "ann"),
        user(b, "my-user"),
        user(STRANGER, "ann"),
        user(a, "ann"),
        root(b),
        root(a),
    ]
    right = model.intent.external_ids[0]
    external_ids = (*model.intent.external_ids, right.upper(), f"{right}x", right[:-1], "*", None)
    sessions = (f"{b}-caller", f"{b}-", b, f"{b}x-a", f"{STRANGER}-a", f"{a}-a", f"x{b}-a", "caller")
    for principal, external_id, session, mfa, identity in itertools.product(
        principals, external_ids, sessions, ("true", "false", None), ("may assume", "may assume another")
    ):
        optional = {"sts:ExternalId": external_id, "aws:MultiFactorAuthPresent": mfa, "sts:RoleSessionName": session}
        context = {name: value for name, value in optional.items() if value is not None}
        yield Case(
            principal,
            "sts:AssumeRole",
            model.executor.arn,
            (identity,),
            f"{model.executor.name} trust",
            context,
        )


def paths(model: Model) -> list[str]:
    """Return paths as they go over the wire, on which API Gateway decides: those of the routes, and ones like them."""
    found: dict[str, None] = {"": None, "..": None}
    for route in model.routes:
        path = quote(route.example.path.removeprefix("/"))
        first, _, rest = path.partition("/")
        encoded = f"%{ord(path[0]):02x}{path[1:]}"
        others = (f"{path}//", f"{path}x", f"{path}/items", f"{path}/../{first}")
        found |= dict.fromkeys((path, encoded, *others, rest))
    return list(found)


def calls(model: Model) -> Iterator[Case]:
    """Make calls of the API."""
    a, b = model.accounts()
    role_id, own = model.executor.role_id, (f"{model.executor.name} identity",)
    mine = session_of(model.executor, f"{b}-caller")
    callers: list[tuple[Principal, tuple[str, ...]]] = [
        (mine, own),
        (session_of(model.executor, "x"), own),
        (role(a, "admin"), ("administrator",)),
        (user(a, "ann"), ("may invoke",)),
        (root(a), ("administrator",)),
        # Who would pass if the guard compared carelessly.
        (role(a, mine.arn.split("/", 1)[1] + "2", mine.session, role_id + "2"), ("administrator",)),
        (role(a, "session-named-like-it", role_id, "AROAOTHEROTHEROTHERO"), ("administrator",)),
        (role(b, "job-nightly"), ("administrator",)),
        (user(b, "my-user"), ("may invoke",)),
        (root(STRANGER), ("administrator",)),
    ]
    stages = (model.stage, "Stage", model.stage.upper(), "prod")
    for (principal, identity), method, path, stage in itertools.product(callers, METHODS, paths(model), stages):
        arn = f"{model.api_arn}/{stage}/{method}/{path}"
        yield Case(principal, "execute-api:Invoke", arn, identity, f"{model.api} resource")


def queue_uses(model: Model) -> Iterator[Case]:
    """Make uses of every queue."""
    a, b = model.accounts()
    actions = (
        "SendMessage",
        "ReceiveMessage",
        "DeleteMessage",
        "GetQueueAttributes",
        "PurgeQueue",
        "SetQueueAttributes",
    )
    principals: list[tuple[Principal, tuple[str, ...]]] = [
        (role(b, "admin"), ("administrator",)),
        (user(b, "ann"), ()),
        (role(a, "admin"), ("administrator",)),
        (session_of(model.executor, f"{b}-job"), (f"{model.executor.name} identity",)),
        (root(STRANGER), ("administrator",)),
        *((session_of(own, "run"), (f"{own.name} identity",)) for own in model.roles if own.side == "b"),
    ]
    for (principal, identity), action, (name, _, arn), tls in itertools.product(
        principals, actions, model.named("AWS::SQS::Queue"), ("true", "false")
    ):
        yield Case(principal, f"sqs:{action}", arn, identity, f"{name} resource", {"aws:SecureTransport": tls})


def cases(model: Model) -> list[Case]:
    """Make every request."""
    return [*assumptions(model), *calls(model), *queue_uses(model)]
