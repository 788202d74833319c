"""Why STS may refuse a role without a reason: what can be checked from account B, and what can only be compared."""

from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError

from call_api.aws import Caller
from call_api.settings import RoleRequest


class Likelihood(StrEnum):
    """Whether something is why a role is refused; the likeliest first."""

    FOUND = "found"
    POSSIBLE = "possible"
    RULED_OUT = "ruled out"


@dataclass(frozen=True)
class Cause:
    """A reason for which STS may refuse a role: what was observed, and which account can fix it."""

    name: str
    likelihood: Likelihood
    observed: str
    remedy: str = ""


def find_causes(caller: Caller, request: RoleRequest) -> tuple[Cause, ...]:
    """Judge everything that can refuse AssumeRole, the likeliest first.

    See https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html
    """
    principal = caller.find_principal()
    causes = [
        _mfa(caller, request),
        _external_id(request),
        _identity_policy(caller, principal, request.role_arn),
        Cause(
            "role ARN",
            Likelihood.POSSIBLE,
            "a role that does not exist is refused in the same way",
            "Account B: compare role_arn with account A's output ExecutorRoleArn.",
        ),
        Cause(
            "trusted account",
            Likelihood.POSSIBLE,
            f"the caller is of account {caller.account}",
            f"Account A: ConsumerAccountIds must have {caller.account}.",
        ),
        Cause(
            "principal pattern",
            Likelihood.POSSIBLE,
            f"the caller is {principal}",
            f"Account A: one of CallerPrincipalArns must match {principal}.",
        ),
        _session_name(caller, request),
    ]
    return tuple(sorted(causes, key=lambda cause: list(Likelihood).index(cause.likelihood)))


def advise(causes: tuple[Cause, ...]) -> str:
    """Return what fixes the causes found, or else the likeliest one."""
    if found := [cause.remedy for cause in causes if cause.likelihood is Likelihood.FOUND]:
        return " ".join(found)
    return f"STS does not say which of these it is. The likeliest: {causes[0].remedy}"


def _identity_policy(caller: Caller, principal: str, role_arn: str) -> Cause:
    """Ask IAM whether account B's own policies allow it."""
    name = "identity policy"
    parameter = "ApiUserNames" if caller.is_user else "ApiRoleNames"
    if caller.role_name.startswith("AWSReservedSSO_"):
        parameter = "its permission set must name the policy"
    remedy = (
        f"Account B: the caller's policy must allow sts:AssumeRole on {role_arn}; ApiAccessPolicy does ({parameter})."
    )
    try:
        [result] = caller.create_client("iam").simulate_principal_policy(
            PolicySourceArn=principal.replace("/*/", "/"), ActionNames=["sts:AssumeRole"], ResourceArns=[role_arn]
        )["EvaluationResults"]
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        return Cause(name, Likelihood.POSSIBLE, f"iam:SimulatePrincipalPolicy: {code}", remedy)
    decision = result["EvalDecision"]
    if decision == "allowed":
        return Cause(name, Likelihood.RULED_OUT, "account B's policies allow it")
    if missing := result.get("MissingContextValues"):
        return Cause(name, Likelihood.POSSIBLE, f"it depends on {', '.join(missing)}", remedy)
    return Cause(name, Likelihood.FOUND, f"account B's policies give {decision}", remedy)


def _mfa(caller: Caller, request: RoleRequest) -> Cause:
    if not caller.is_user:
        return Cause("MFA", Likelihood.RULED_OUT, "only IAM users are asked for it")
    if request.mfa_serial:
        return Cause("MFA", Likelihood.RULED_OUT, f"given with {request.mfa_serial}")
    return Cause(
        "MFA",
        Likelihood.POSSIBLE,
        "the profile has no mfa_serial",
        "Account B: unless account A's RequireMfaForUsers is false, set mfa_serial to a virtual (TOTP) device; "
        "passkeys and security keys give no codes.",
    )


def _external_id(request: RoleRequest) -> Cause:
    if request.external_id:
        observed = f"one of {len(request.external_id)} characters is sent"
        remedy = "Account B: compare external_id with account A's output ExternalId."
        return Cause("ExternalId", Likelihood.POSSIBLE, observed, remedy)
    remedy = "Account B: external_id must be account A's output ExternalId (call-api configure)."
    return Cause("ExternalId", Likelihood.FOUND if request.is_ours else Likelihood.POSSIBLE, "none is sent", remedy)


def _session_name(caller: Caller, request: RoleRequest) -> Cause:
    name = request.session_name
    if name.startswith(f"{caller.account}-"):
        remedy = f"Account A: if ConsumerSessionName is narrower than its default, it must match {name}."
        return Cause("session name", Likelihood.POSSIBLE, f"{name!r} fits <account id>-*", remedy)
    return Cause(
        "session name",
        Likelihood.FOUND if request.is_ours else Likelihood.POSSIBLE,
        repr(name) if name else "the profile has no role_session_name",
        f"Account B: role_session_name must start with {caller.account}- (call-api configure).",
    )
