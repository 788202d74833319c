"""Who calls: the consumer account behind a session of the executor role."""

import re
from dataclasses import dataclass

from aws_lambda_powertools.utilities.data_classes.common import APIGatewayEventIdentity

from orders.errors import ForbiddenError

_SESSION_NAME = re.compile(r"(?P<account_id>[0-9]{12})-[A-Za-z0-9_+=,.@-]*")


@dataclass(frozen=True, slots=True)
class Consumer:
    """An account that uses the API, and the session that it calls with.

    Args:
        account_id: The account's 12 digits.
        session_name: Name of its session of the executor role.
    """

    account_id: str
    session_name: str


def identify(identity: APIGatewayEventIdentity, executor_role_id: str) -> Consumer:
    """Find the consumer in what API Gateway verified about the signer of a request.

    The request comes from the executor role, so its account is the provider's own. What travels from the consumer is
    the session name, and the role's trust policy lets an account choose only names that begin with its own id
    (`sts:RoleSessionName` like `${aws:PrincipalAccount}-*`). The API's resource policy already refuses everyone else;
    this check holds even if that policy is lost.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#ck_rolesessionname

    Args:
        identity: `requestContext.identity` of the request. Its `caller` is `<role id>:<session name>`, its `userArn`
            `arn:<partition>:sts::<account>:assumed-role/<role name>/<session name>`.
        executor_role_id: Unique id of the executor role (`AROA…`).

    Returns:
        The consumer.

    Raises:
        ForbiddenError: The caller is anyone else.
    """
    role_id, _, session_name = (identity.caller or "").partition(":")
    session = _SESSION_NAME.fullmatch(session_name)
    arn = rf"arn:[a-z-]+:sts::[0-9]{{12}}:assumed-role/[^/]+/{re.escape(session_name)}"
    if role_id != executor_role_id or not session or not re.fullmatch(arn, identity.user_arn or ""):
        raise ForbiddenError
    return Consumer(account_id=session["account_id"], session_name=session_name)
