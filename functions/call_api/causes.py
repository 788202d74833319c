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
    account, principal = caller.account, caller.find_principal()
    # Those of this project's roles are known to be asked for.
    found, possible = Likelihood.FOUND if request.is_ours else Likelihood.POSSIBLE, Likelihood.POSSIBLE
    if not caller.is_user or request.mfa_serial:
        observed = f"given with {request.mfa_serial}" if caller.is_user else "only IAM users are asked for it"
        mfa = Cause("MFA", Likelihood.RULED_OUT, observed)
    else:
        remedy = (
            "Account B: unless account A's RequireMfaForUsers is false, set mfa_serial to a virtual (TOTP) device; "
            "passkeys and security keys give no codes."
        )
        mfa = Cause("MFA", possible, "the profile has no mfa_serial", remedy)
    if length := len(request.external_id):
        remedy = "Account B: compare external_id with account A's output ExternalId."
        external_id = Cause("ExternalId", possible, f"one of {length} characters is sent", remedy)
    else:
        remedy = "Account B: external_id must be account A's output ExternalId (call-api configure)."
        external_id = Cause("ExternalId", found, "none is sent", remedy)
    name = request.session_name
    if name.startswith(f"{account}-"):
        remedy = f"Account A: if ConsumerSessionName is narrower than its default, it must match {name}."
        session_name = Cause("session name", possible, f"{name!r} fits <account id>-*", remedy)
    else:
        remedy = f"Account B: role_session_name must start with {account}- (call-api configure)."
        observed = repr(name) if name else "the profile has no role_session_name"
        session_name = Cause("session name", found, observed, remedy)
    observed = "a role that does not exist is refused in the same way"
    remedy = "Account B: compare role_arn with account A's output ExecutorRoleArn."
    role_arn = Cause("role ARN", possible, observed, remedy)
    remedy = f"Account A: ConsumerAccountIds must have {account}."
    trusted_account = Cause("trusted account", possible, f"the caller is of account {account}", remedy)
    remedy = f"Account A: one of CallerPrincipalArns must match {principal}."
    pattern = Cause("principal pattern", possible, f"the caller is {principal}", remedy)
    policy = _identity_policy(caller, principal, request.role_arn)
    causes = (mfa, external_id, policy, role_arn, trusted_account, pattern, session_name)
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
