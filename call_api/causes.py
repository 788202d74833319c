"""Why STS refuses AssumeRole. It seldom says which side did: what can be seen from account B narrows it down."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

_ASSUMED_ROLE = re.compile(r"(?P<partition>arn:[a-z-]+):sts::[0-9]{12}:assumed-role/(?P<role>[^/]+)/(?P<session>.+)")
_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})


class Judgement(StrEnum):
    """Whether something is why a role is refused."""

    FOUND = "found"
    POSSIBLE = "possible"
    RULED_OUT = "ruled out"


@dataclass(frozen=True)
class Cause:
    """A reason for which STS may refuse a role.

    Attributes:
        name: What may refuse.
        judgement: Whether it does.
        saw: What speaks for that.
        mend: Which account can mend it, and how; empty if it is ruled out.
    """

    name: str
    judgement: Judgement
    saw: str
    mend: str = ""


@dataclass(frozen=True)
class Caller:
    """Whose credentials are to assume the role.

    Attributes:
        arn: ARN as STS gives it.
        account: Account id.
        session: Makes clients with these credentials.
    """

    arn: str
    account: str
    session: botocore.session.Session

    @property
    def is_user(self) -> bool:
        """Whether it is an IAM user."""
        return ":user/" in self.arn

    @property
    def principal(self) -> str:
        """ARN of the IAM user or role, as policies name it."""
        role = _ASSUMED_ROLE.fullmatch(self.arn)
        return f"{role['partition']}:iam::{self.account}:role/{role['role']}" if role else self.arn

    @property
    def session_name(self) -> str:
        """Name of the role session; empty if it is none."""
        role = _ASSUMED_ROLE.fullmatch(self.arn)
        return role["session"] if role else ""


def find_causes(caller: Caller, profile: Mapping[str, str], message: str) -> tuple[Cause, ...]:
    """Judge everything that can refuse AssumeRole.

    Args:
        caller: Who wants to assume the role.
        profile: The profile that says how: `role_arn`, `external_id`, `role_session_name`, `mfa_serial`.
        message: What STS said, which sometimes names the kind of policy.

    Returns:
        The causes, the likeliest first among those of one judgement.

    See https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html
    """
    causes = [
        _mfa(caller, profile.get("mfa_serial", "")),
        _external_id(profile.get("external_id", "")),
        _identity_policy(caller, profile["role_arn"], message),
        Cause(
            "role ARN",
            Judgement.POSSIBLE,
            "a role that does not exist is refused in the same way",
            "Account B: compare role_arn with account A's output ExecutorRoleArn.",
        ),
        Cause(
            "trusted account",
            Judgement.POSSIBLE,
            f"the caller is of account {caller.account}",
            f"Account A: ConsumerAccountIds must have {caller.account}.",
        ),
        Cause(
            "principal pattern",
            Judgement.POSSIBLE,
            f"the caller is {caller.principal}",
            f"Account A: one of CallerPrincipalArns must match {caller.principal}.",
        ),
        _session_name(caller, profile.get("role_session_name", "")),
    ]
    return tuple(sorted(causes, key=lambda cause: list(Judgement).index(cause.judgement)))


def advise(causes: tuple[Cause, ...]) -> str:
    """Say what to do.

    Args:
        causes: What `find_causes` returned.

    Returns:
        What mends the causes found, or else what is likeliest to; empty without causes.
    """
    if not causes:
        return ""
    found = [cause.mend for cause in causes if cause.judgement is Judgement.FOUND]
    if found:
        return " ".join(found)
    return f"AWS does not say which of these it is. The likeliest: {causes[0].mend}"


def _identity_policy(caller: Caller, role_arn: str, message: str) -> Cause:
    name = "identity policy"
    mend = (
        f"Account B: the caller's policy must allow sts:AssumeRole on {role_arn}; ApiAccessPolicy does (ApiUserNames)."
    )
    if "identity-based policy" in message:
        return Cause(name, Judgement.FOUND, "STS says so", mend)
    try:
        iam: Any = caller.session.create_client("iam", config=_CONFIG)
        [result] = iam.simulate_principal_policy(
            PolicySourceArn=caller.principal, ActionNames=["sts:AssumeRole"], ResourceArns=[role_arn]
        )["EvaluationResults"]
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        return Cause(name, Judgement.POSSIBLE, f"iam:SimulatePrincipalPolicy: {code}", mend)
    decision = result["EvalDecision"]
    if decision == "allowed":
        return Cause(name, Judgement.RULED_OUT, "account B's policies allow it")
    if result.get("MissingContextValues"):
        return Cause(name, Judgement.POSSIBLE, f"it depends on {', '.join(result['MissingContextValues'])}", mend)
    return Cause(name, Judgement.FOUND, f"account B's policies give {decision}", mend)


def _session_name(caller: Caller, session_name: str) -> Cause:
    name = "session name"
    if not session_name.startswith(f"{caller.account}-"):
        return Cause(
            name,
            Judgement.FOUND,
            repr(session_name) if session_name else "the profile has no role_session_name",
            f"Account B: role_session_name must start with {caller.account}- (call-api configure).",
        )
    return Cause(
        name,
        Judgement.POSSIBLE,
        f"{session_name!r} fits <account id>-*",
        f"Account A: if ConsumerSessionName is narrower than its default, it must match {session_name}.",
    )


def _external_id(external_id: str) -> Cause:
    name = "ExternalId"
    if not external_id:
        return Cause(
            name,
            Judgement.FOUND,
            "the profile has no external_id",
            "Account B: external_id must be account A's output ExternalId (call-api configure).",
        )
    return Cause(
        name,
        Judgement.POSSIBLE,
        f"the profile has one of {len(external_id)} characters",
        "Account B: compare external_id with account A's output ExternalId.",
    )


def _mfa(caller: Caller, mfa_serial: str) -> Cause:
    if not caller.is_user:
        return Cause("MFA", Judgement.RULED_OUT, "only IAM users are asked for it")
    if mfa_serial:
        return Cause("MFA", Judgement.RULED_OUT, f"given with {mfa_serial}")
    return Cause(
        "MFA",
        Judgement.POSSIBLE,
        "the profile has no mfa_serial",
        "Account B: unless account A's RequireMfaForUsers is false, set mfa_serial (call-api configure).",
    )
