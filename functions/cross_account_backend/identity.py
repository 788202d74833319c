"""Identifies the consumer account behind a session of an executor role."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

_CALLER = re.compile(r"(?P<role_id>AROA[A-Z0-9]+):(?P<session_name>(?P<account_id>[0-9]{12})-[A-Za-z0-9_+=,.@-]*)")
_USER_ARN = re.compile(r"arn:[a-z-]+:sts::[0-9]{12}:assumed-role/[^/]+/(?P<session_name>[^/]+)")


class UnknownCallerError(Exception):
    """The caller is not a consumer; respond with 403."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer account and the session of the executor role that it calls with."""

    account_id: str
    session_name: str


def identify(event: Mapping[str, Any], role_ids: Collection[str]) -> Consumer:
    """Return the consumer, from what API Gateway verified about the signer of a request.

    The signer is a session of a role in the provider's own account. The session name identifies the consumer: the
    role's trust policy lets an account choose only names that begin with its own id (`sts:RoleSessionName` like
    `${aws:PrincipalAccount}-*`). The API's resource policy already refuses everyone else; this check holds even if that
    policy is lost.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#ck_rolesessionname

    Args:
        event: The request as a REST API or an HTTP API sends it to Lambda. Its caller is `<role id>:<session name>`,
            its user ARN `arn:<partition>:sts::<account>:assumed-role/<role name>/<session name>`.
        role_ids: Unique ids of the executor roles (`AROA…`). Unlike an ARN, an id never names another role that was
            created later under the same name.
            https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids

    Raises:
        UnknownCallerError: The caller is anyone else.
    """
    caller, user_arn = _signer(event)
    session, arn = _CALLER.fullmatch(caller), _USER_ARN.fullmatch(user_arn)
    # A set, because a single id given as a string must not match its own substrings.
    if session and arn and session["role_id"] in set(role_ids) and session["session_name"] == arn["session_name"]:
        return Consumer(account_id=session["account_id"], session_name=session["session_name"])
    raise UnknownCallerError(
        "only sessions of an executor role whose name begins with their account id may call this API"
    )


def _signer(event: Mapping[str, Any]) -> tuple[str, str]:
    context = event.get("requestContext") or {}
    if "identity" in context:
        identity, caller = context["identity"] or {}, "caller"
    else:  # An HTTP API's payload format 2.0.
        identity, caller = (context.get("authorizer") or {}).get("iam") or {}, "callerId"
    return identity.get(caller) or "", identity.get("userArn") or ""
