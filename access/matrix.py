"""Requests by the thousand: everybody, in every state, on every route; with what the policies' owner means to allow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from access.policies import Document, Intent, Policies
from access.templates import ACCOUNTS

A, B, C = ACCOUNTS["a"], ACCOUNTS["b"], "333333333333"

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
# As they go over the wire: API Gateway decides on the path as it was sent.
PATHS = (
    "whoami",
    "whoami/",
    "Whoami",
    "%77hoami",
    "orders",
    "orders/",
    "orders//",
    "orders/7f3c",
    "orders/a%2Fb",
    "orders/a%20b;c",
    "orders/%2e%2e/whoami",
    "orders/../whoami",
    "orders/7f3c/items",
    "ordersx",
    "",
)


@dataclass(frozen=True)
class Principal:
    """Somebody who makes requests.

    Attributes:
        name: Who it is, in words.
        arn: ARN of the user, or of the role.
        type: Value of `aws:PrincipalType`.
        user_id: Value of `aws:userid`.
        session: Name of the session, of a role's.
    """

    name: str
    arn: str
    type: str
    user_id: str
    session: str = ""

    @property
    def account(self) -> str:
        """Id of its account."""
        return self.arn.split(":")[4]

    @property
    def context(self) -> dict[str, str]:
        """The condition keys that say who it is."""
        return {
            "aws:PrincipalArn": self.arn,
            "aws:PrincipalAccount": self.account,
            "aws:PrincipalType": self.type,
            "aws:userid": self.user_id,
        }


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        principal: Who makes it.
        action: The action.
        resource: ARN of the resource.
        identity: Names of the policies that the principal has.
        policy: Name of the resource's policy.
        context: Condition keys beside those of the principal.
        intended: Whether the owner of the policies means to allow it.
    """

    principal: Principal
    action: str
    resource: str
    identity: tuple[str, ...]
    policy: str
    context: Mapping[str, str] = field(default_factory=dict)
    intended: bool = False

    def __str__(self) -> str:
        """Say who does what."""
        return f"{self.principal.name} ({self.principal.arn}) {self.action} {self.resource} {dict(self.context)}"


def documents(policies: Policies) -> dict[str, Document]:
    """Return the deployment's policies, and those that somebody may have beside.

    Args:
        policies: The policies of a deployment.

    Returns:
        Documents by name.
    """
    return {
        **policies.documents,
        "administrator": _allow("*", "*"),
        "may assume": _allow("sts:AssumeRole", policies.names["ExecutorRole.Arn"]),
        "may invoke": _allow("execute-api:Invoke", "*"),
        "may assume another": _allow("sts:AssumeRole", f"arn:aws:iam::{A}:role/Other"),
    }


def _allow(action: str, resource: str) -> Document:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "Allow", "Effect": "Allow", "Action": action, "Resource": resource}],
    }


def role(account: str, name: str, session: str = "job", role_id: str = "AROAJOBJOBJOBJOBJOBJO") -> Principal:
    """Make a session of a role."""
    arn = f"arn:aws:iam::{account}:role/{name}"
    return Principal(f"session of role {name} of {account}", arn, "AssumedRole", f"{role_id}:{session}", session)


def user(account: str, name: str) -> Principal:
    """Make a user."""
    return Principal(
        f"user {name} of {account}", f"arn:aws:iam::{account}:user/{name}", "User", "AIDAUSERUSERUSERUSERU"
    )


def root(account: str) -> Principal:
    """Make the root user of an account."""
    return Principal(f"root user of {account}", f"arn:aws:iam::{account}:root", "Account", account)


def assumptions(policies: Policies) -> Iterator[Case]:
    """Make requests to assume the executor role.

    Args:
        policies: The policies of a deployment.

    Yields:
        The requests.
    """
    intent = policies.intent
    principals = [
        role(B, "job-nightly"),
        role(B, "path/to/other"),
        role(C, "job-nightly"),
        role(A, "admin"),
        executor(policies, f"{B}-job"),
        user(B, "ann"),
        user(B, "my-user"),
        user(C, "ann"),
        user(A, "ann"),
        root(B),
        root(A),
    ]
    right = intent.external_ids[0]
    external_ids = (*intent.external_ids, right.upper(), f"{right}x", right[:-1], "*", None)
    sessions = (f"{B}-orders-caller", f"{B}-", B, f"{B}x-a", f"{C}-a", f"{A}-a", f"x{B}-a", "orders-caller")
    for principal, external_id, session, mfa, identity in itertools.product(
        principals, external_ids, sessions, ("true", "false", None), ("may assume", "may assume another")
    ):
        optional = {"sts:ExternalId": external_id, "aws:MultiFactorAuthPresent": mfa, "sts:RoleSessionName": session}
        context = {name: value for name, value in optional.items() if value is not None}
        yield Case(
            principal,
            "sts:AssumeRole",
            policies.names["ExecutorRole.Arn"],
            (identity,),
            "ExecutorRole trust",
            context,
            identity == "may assume" and _may_assume(principal, context, intent),
        )


def _may_assume(principal: Principal, context: Mapping[str, str], intent: Intent) -> bool:
    bound = [pattern.replace("${aws:PrincipalAccount}", principal.account) for pattern in intent.session_names]
    named = any(context["sts:RoleSessionName"].startswith(pattern.removesuffix("*")) for pattern in bound)
    strict = len(intent.caller_arns) > 1
    return (
        principal.account in intent.consumers
        and context.get("sts:ExternalId") in intent.external_ids
        and named
        and (not strict or principal.arn.split("/", 1)[-1] in {"job-nightly", "ann"})
        and (
            principal.type == "AssumedRole"
            or (principal.type == "User" and (not intent.mfa or context.get("aws:MultiFactorAuthPresent") == "true"))
        )
    )


def executor(policies: Policies, session: str) -> Principal:
    """Make a session of the executor role."""
    name = policies.names["ExecutorRole.Arn"].split("/", 1)[1]
    return role(A, name, session, policies.names["ExecutorRole.RoleId"])


def calls(policies: Policies) -> Iterator[Case]:
    """Make calls of the API.

    Args:
        policies: The policies of a deployment.

    Yields:
        The calls.
    """
    role_id = policies.names["ExecutorRole.RoleId"]
    mine = executor(policies, f"{B}-orders-caller")
    callers: list[tuple[Principal, tuple[str, ...]]] = [
        (mine, ("ExecutorRole identity",)),
        (executor(policies, "x"), ("ExecutorRole identity",)),
        (role(A, "admin"), ("administrator",)),
        (user(A, "ann"), ("may invoke",)),
        (root(A), ("administrator",)),
        # Who would pass if the guard compared carelessly.
        (role(A, mine.arn.split("/", 1)[1] + "2", mine.session, role_id + "2"), ("administrator",)),
        (role(A, "session-named-like-it", role_id, "AROAOTHEROTHEROTHERO"), ("administrator",)),
        (role(B, "job-nightly"), ("administrator",)),
        (user(B, "my-user"), ("may invoke",)),
        (root(C), ("administrator",)),
    ]
    stages = (policies.intent.stage, "Stage", policies.intent.stage.upper(), "prod")
    for (principal, identity), method, path, stage in itertools.product(callers, METHODS, PATHS, stages):
        right = (method, path) in {("GET", "whoami"), ("POST", "orders"), ("GET", "orders")}
        one_order = method == "GET" and path.startswith("orders/")
        yield Case(
            principal,
            "execute-api:Invoke",
            f"{policies.api_arn}/{stage}/{method}/{path}",
            identity,
            "OrdersApi resource",
            {},
            identity == ("ExecutorRole identity",) and stage == policies.intent.stage and (right or one_order),
        )


def queue_uses(policies: Policies) -> Iterator[Case]:
    """Make uses of both queues.

    Args:
        policies: The policies of a deployment.

    Yields:
        The requests.
    """
    principals: list[tuple[Principal, tuple[str, ...]]] = [
        (role(B, "admin"), ("administrator",)),
        (user(B, "ann"), ()),
        (_stack_role(policies, "CallerFunctionRole"), ("CallerFunctionRole identity",)),
        (_stack_role(policies, "ScheduleRole"), ("ScheduleRole identity",)),
        (role(A, "admin"), ("administrator",)),
        (executor(policies, f"{B}-job"), ("ExecutorRole identity",)),
        (root(C), ("administrator",)),
    ]
    granted = {
        ("CallerFunctionRole identity", "CallQueue"): {"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"},
        ("CallerFunctionRole identity", "FailedCallQueue"): {"SendMessage"},
        ("ScheduleRole identity", "FailedCallQueue"): {"SendMessage"},
    }
    actions = (
        "SendMessage",
        "ReceiveMessage",
        "DeleteMessage",
        "GetQueueAttributes",
        "PurgeQueue",
        "SetQueueAttributes",
    )
    for (principal, identity), action, queue, tls in itertools.product(
        principals, actions, ("CallQueue", "FailedCallQueue"), ("true", "false")
    ):
        own = principal.account == B and identity
        may = own and (identity == ("administrator",) or action in granted.get((identity[0], queue), set()))
        yield Case(
            principal,
            f"sqs:{action}",
            policies.names[f"{queue}.Arn"],
            identity,
            f"{queue} resource",
            {"aws:SecureTransport": tls},
            bool(may) and tls == "true",
        )


def _stack_role(policies: Policies, name: str) -> Principal:
    arn = policies.names[f"{name}.Arn"]
    return role(arn.split(":")[4], arn.split("/", 1)[1], "run", policies.names[f"{name}.RoleId"])


def cases(policies: Policies) -> list[Case]:
    """Make every request of the matrix."""
    return [*assumptions(policies), *calls(policies), *queue_uses(policies)]


def session_arn(principal: Principal) -> str:
    """Return the ARN under which the principal makes requests: of a role, that of its session."""
    if principal.type != "AssumedRole":
        return principal.arn
    name = principal.arn.rsplit("/", 1)[-1]
    return f"arn:aws:sts::{principal.account}:assumed-role/{name}/{principal.session}"
