"""Doctor's steps: each judges what was found out, and says what was expected and which account can fix it."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlsplit

import certifi

from call_api.causes import Cause, advise, find_causes
from call_api.diagnosis import (
    Endpoint,
    Profile,
    Signed,
    Unsigned,
    inspect_endpoint,
    inspect_profile,
    send_signed,
    send_unsigned,
)
from call_api.settings import ApiSettings, find_remedy
from cross_account_api.call import Call
from cross_account_api.denials import Denial
from cross_account_api.endpoint import ROLE_ARN, SESSION_NAME
from cross_account_api.errors import (
    ApiError,
    AssumeRoleError,
    CallError,
    ExpiredSessionError,
    ForbiddenError,
    NotFoundError,
    RedirectError,
    ServerError,
    SettingsError,
    ThrottledError,
)
from cross_account_api.response import Response

_CLOCK_SECONDS = 300
"""How far a signature's time may be from AWS's own."""

_CONFIGURE = "call-api configure writes a profile."
_GIVE_A_PATH = (
    "Give a path that the role may GET: call-api doctor /path, or api_path in the profile (call-api configure "
    "--api-path)."
)


class Status(StrEnum):
    """How a step ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class CheckResult:
    """What one step showed.

    Attributes:
        step: Its name.
        status: How it ended.
        observed: What was seen; why it was not tried.
        expected: What should have been seen; only if it failed.
        remedy: Which account can fix it, and how; also for a warning.
        causes: What may be behind it, where AWS does not say.
    """

    step: str
    status: Status
    observed: str
    expected: str = ""
    remedy: str = ""
    causes: tuple[Cause, ...] = ()


def diagnose(
    settings: ApiSettings | AssumeRoleError | SettingsError, call: Call, *, is_chosen: bool
) -> list[CheckResult]:
    """Check a call from the profile to the backend.

    Args:
        settings: Options and profile, or why these cannot be read.
        call: What to send.
        is_chosen: Whether somebody chose the path, so that the backend must answer 2xx; else any response will do.
    """
    if not isinstance(settings, ApiSettings):
        profile, endpoint = Profile(None, problem=settings), Endpoint()
    else:
        profile = inspect_profile(settings)
        endpoint = inspect_endpoint(settings, profile.region)
    unsigned = send_unsigned(profile, endpoint, call) if endpoint.addresses or endpoint.proxy else None
    stage = _check_stage(unsigned, is_chosen=is_chosen)
    signed = None
    if stage.status in (Status.OK, Status.WARNING) or (unsigned and isinstance(unsigned.response, Response)):
        signed = send_signed(profile, endpoint, call)  # no session token is sent to anything else
    return [
        _check_profile(profile),
        _check_clock(profile),
        _check_credentials(profile),
        _check_account(profile),
        _check_role_arn(profile),
        _check_session_name(profile),
        _check_assume_role(profile, signed),
        _check_url(profile, endpoint),
        _check_region(profile, endpoint),
        _check_dns(endpoint),
        _check_tls(profile, endpoint, unsigned),
        stage,
        *_check_call(profile, endpoint, unsigned, signed, call, is_chosen=is_chosen),
    ]


def _ok(step: str, observed: str) -> CheckResult:
    return CheckResult(step, Status.OK, observed)


def _skipped(step: str, reason: str) -> CheckResult:
    return CheckResult(step, Status.NOT_TRIED, reason)


# --- Who calls: account B ---------------------------------------------------------------------------------------------


def _is_about_credentials(profile: Profile) -> bool:
    return isinstance(profile.problem, AssumeRoleError) and profile.problem.code in (
        "NoCredentialsError",
        "MissingSessionToken",
    )


def _check_profile(profile: Profile) -> CheckResult:
    problem, settings = profile.problem, profile.settings
    if problem and not _is_about_credentials(profile):
        remedy = find_remedy(problem) + (f" {_CONFIGURE}" if isinstance(problem, AssumeRoleError) else "")
        return CheckResult("profile", Status.FAILED, problem.problem, "a profile that leads to the API", remedy)
    if not settings:
        return _skipped("profile", "none")
    name = settings.profile or os.environ.get("AWS_PROFILE") or "default"
    names = ("source_profile", "credential_source", "sso_session", "mfa_serial")
    parts = [f"{key} {settings.in_profile[key]}" for key in names if settings.in_profile.get(key)]
    parts += [f"with {key}" for key in ("role_arn", "external_id") if getattr(profile.role, key)]
    return _ok("profile", f"{name}: {', '.join(parts) or 'credentials without a role'}")


def _check_clock(profile: Profile) -> CheckResult:
    response = getattr(profile.caller_problem and profile.caller_problem.__cause__, "response", {})
    date = (
        profile.caller.date
        if profile.caller
        else response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    )
    if not date:
        return _skipped("clock", "STS did not respond" if profile.caller_problem else "STS was not asked")
    ahead = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    observed = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} STS"
    if abs(ahead) > _CLOCK_SECONDS:
        expected = f"at most {_CLOCK_SECONDS} s"
        return CheckResult("clock", Status.FAILED, observed, expected, "Account B: set the clock.")
    return _ok("clock", observed)


def _check_credentials(profile: Profile) -> CheckResult:
    problem = profile.problem if _is_about_credentials(profile) else profile.caller_problem
    if profile.caller:
        return _ok("credentials", profile.caller.arn)
    if problem and profile.session:
        return _skipped("credentials", "a web identity is known only once it is used")
    if problem:
        return CheckResult("credentials", Status.FAILED, problem.problem, "credentials that STS knows", problem.remedy)
    return _skipped("credentials", "no profile to find them with")


def _check_account(profile: Profile) -> CheckResult:
    caller = profile.caller
    if not caller:
        return _skipped("account", "the caller is not known")
    if caller.is_root and profile.role.role_arn:
        return CheckResult(
            "account",
            Status.FAILED,
            f"the root user of {caller.account}",
            "an IAM user or role of a consumer account",
            "Account B: use an IAM user or a role; the root user can assume none.",
        )
    if profile.role.role_arn.split(":")[4:5] == [caller.account] and not profile.is_overridden:
        return CheckResult(
            "account",
            Status.FAILED if profile.role.is_ours else Status.WARNING,
            f"{caller.account}, which owns the role as well",
            "a consumer account" if profile.role.is_ours else "",
            "Account B: source_profile must have credentials of account B, role_arn the role of account A.",
        )
    return _ok("account", caller.account)


def _check_role_arn(profile: Profile) -> CheckResult:
    step, role_arn = "role ARN", profile.role.role_arn
    if not profile.settings:
        return _skipped(step, "no profile to read it from")
    expected = "account A's output ExecutorRoleArn: arn:aws:iam::<account A>:role/<name>"
    if profile.is_overridden and profile.caller and not profile.caller.is_session_of(role_arn):
        return CheckResult(
            step,
            Status.FAILED,
            "AWS_ACCESS_KEY_ID is set and comes before the profile's role",
            "a session of the profile's role",
            "Account B: unset AWS_ACCESS_KEY_ID, or name the profile with --profile.",
        )
    if role_arn and not ROLE_ARN.fullmatch(role_arn):
        remedy = "Account B: set role_arn to account A's output ExecutorRoleArn."
        return CheckResult(step, Status.FAILED, role_arn, expected, remedy)
    if role_arn:
        return _ok(step, role_arn)
    if not profile.caller:
        return _skipped(step, "none, and the caller is not known")
    return _ok(step, f"none: requests are signed as {profile.caller.arn} itself")


def _check_session_name(profile: Profile) -> CheckResult:
    step, role, caller = "session name", profile.role, profile.caller
    if not profile.settings:
        return _skipped(step, "no profile to read it from")
    if not role.role_arn or profile.is_overridden:
        return _ok(step, (caller and caller.session_name) or "not needed")
    name, prefix = role.session_name, f"{caller.account if caller else '<account id>'}-"
    bound = name.startswith(prefix) if caller else name[:12].isdecimal() and name[12:13] == "-"
    if SESSION_NAME.fullmatch(name) and bound:
        return _ok(step, name)
    return CheckResult(
        step,
        Status.FAILED if role.is_ours else Status.WARNING,
        name or "the profile has no role_session_name",
        f"{prefix}<name>, at most 64 letters, digits or _+=,.@-" if role.is_ours else "",
        "Account B: set role_session_name; account A knows the consumer by it. call-api configure writes it.",
    )


def _check_assume_role(profile: Profile, signed: Signed | None) -> CheckResult:
    step, expected = "AssumeRole", "a session of the role"
    problem = profile.session_problem or (signed.renewal_problem if signed else None)
    if problem:
        causes: tuple[Cause, ...] = ()
        denial = Denial.parse(problem.detail)
        is_open = problem.code == "AccessDenied" and "MultiFactorAuthentication" not in problem.detail
        if is_open and profile.caller and not (denial and (denial.policy or denial.action != "sts:AssumeRole")):
            causes = find_causes(profile.caller, profile.role)
        observed = problem.problem
        if profile.session:
            observed = f"the cached session is refused, and there is no new one: {observed}"
        return CheckResult(step, Status.FAILED, observed, expected, advise(causes) or problem.remedy, causes)
    if not profile.session:
        return _skipped(
            step, "the credentials are not valid" if profile.caller_problem else "no credentials to do it with"
        )
    if signed and signed.cached:
        return CheckResult(
            step,
            Status.WARNING,
            f"the cached session is refused, a new one is accepted: {signed.cached.problem}",
            remedy="call-api replaces the session with the next call. Other tools: delete ~/.aws/cli/cache.",
        )
    if not profile.role.role_arn or profile.is_overridden:
        return _ok(step, "not needed")
    return _ok(step, "a session from ~/.aws/cli/cache" if profile.is_cached else "a new session of the role")


# --- Where the call goes ----------------------------------------------------------------------------------------------


def _check_url(profile: Profile, endpoint: Endpoint) -> CheckResult:
    if not profile.settings:
        return _skipped("URL", "no profile to read it from")
    if problem := endpoint.url_problem:
        return CheckResult("URL", Status.FAILED, problem.problem, "account A's output ApiUrl", find_remedy(problem))
    if ".execute-api." in endpoint.url and not urlsplit(endpoint.url).path:
        return _ok("URL", f"{endpoint.url} (no stage: right for an HTTP API's $default, wrong for a REST API)")
    return _ok("URL", endpoint.url)


def _check_region(profile: Profile, endpoint: Endpoint) -> CheckResult:
    if not endpoint.url:
        return _skipped("region", "there is no URL")
    if endpoint.region_problem:
        if profile.problem:
            return _skipped("region", "the profile that may name it cannot be used")
        problem = endpoint.region_problem
        return CheckResult("region", Status.FAILED, problem.problem, "the API's region", find_remedy(problem))
    if endpoint.region != endpoint.url_region:
        return CheckResult(
            "region",
            Status.FAILED,
            f"{endpoint.region}, but the API is in {endpoint.url_region}",
            endpoint.url_region,
            "Account B: --region, $API_REGION and api_region must be the API's region.",
        )
    return _ok("region", endpoint.region)


def _check_dns(endpoint: Endpoint) -> CheckResult:
    if not endpoint.url:
        return _skipped("DNS", "there is no URL")
    host = urlsplit(endpoint.url).hostname
    if endpoint.proxy:
        return _ok("DNS", f"left to the proxy {endpoint.proxy}")
    if endpoint.dns_problem:
        return CheckResult(
            "DNS",
            Status.FAILED,
            f"{host}: {endpoint.dns_problem}",
            "an address",
            "Account B: check the host in the API's URL, and DNS. "
            "Account A: check that the API exists, and whether it is private.",
        )
    return _ok("DNS", f"{host} is {', '.join(endpoint.addresses)}")


def _check_tls(profile: Profile, endpoint: Endpoint, unsigned: Unsigned | None) -> CheckResult:
    if not unsigned:
        return _skipped("TLS", "the host has no address" if endpoint.dns_problem else "there is no URL")
    if problem := unsigned.problem:
        expected = "a connection to the API, with a trusted certificate"
        return CheckResult("TLS", Status.FAILED, problem.problem, expected, find_remedy(problem))
    if endpoint.url.startswith("http:"):
        return _ok("TLS", "not used on this machine")
    bundle = profile.ca_bundle or os.environ.get("AWS_CA_BUNDLE")
    return _ok("TLS", f"the certificate is trusted, by {bundle or f'the public authorities in {certifi.where()}'}")


def _check_stage(unsigned: Unsigned | None, *, is_chosen: bool) -> CheckResult:
    """Judge by the response to an unsigned request whether there is an API that is closed to strangers."""
    expected = "an API that refuses an unsigned request"
    if not unsigned or unsigned.problem:
        return _skipped("stage", "no connection")
    kind = " by an HTTP API" if unsigned.is_http_api else ""
    match unsigned.response:
        case Response(status=status):
            return CheckResult(
                "stage",
                Status.FAILED if is_chosen else Status.WARNING,
                f"an unsigned request is answered with {status}",
                expected if is_chosen else "",
                "Account A: the API is open to everybody; its methods must have the authorizer AWS_IAM."
                if is_chosen
                else _GIVE_A_PATH,
            )
        case ForbiddenError(code="ForbiddenException") | RedirectError() as error:
            return CheckResult("stage", Status.FAILED, error.problem, expected, error.remedy)
        case ForbiddenError() | ThrottledError() | ServerError() as error:
            return _ok("stage", f"an unsigned request is refused{kind} with {error.status} {error.code}".rstrip())
        case NotFoundError() if unsigned.is_http_api:
            return _ok("stage", "an HTTP API")
        case ApiError(status=401) as error:
            remedy = "Account A: the method has another authorizer; for signed calls it must be AWS_IAM."
            return CheckResult("stage", Status.FAILED, error.problem, expected, remedy)
        case CallError() as error:
            remedy = "Account B: the API's URL must be account A's output ApiUrl."
            return CheckResult("stage", Status.FAILED, error.problem, expected, remedy)
    return _skipped("stage", "no response")


# --- What the API says ------------------------------------------------------------------------------------------------

_CALL_STEPS = {
    "path": "a method and path that the stage has",
    "signature": "a signature that API Gateway computes as well",
    "permission": "no policy that denies this call, and one that allows it",
    "backend": "2xx",
}
"""What one signed request shows, in the order in which AWS looks at it, and what is expected."""


def _check_call(
    profile: Profile,
    endpoint: Endpoint,
    unsigned: Unsigned | None,
    signed: Signed | None,
    call: Call,
    *,
    is_chosen: bool,
) -> list[CheckResult]:
    steps = list(_CALL_STEPS)
    if not (signed and unsigned):
        return [_skipped(step, "no API to call" if profile.session else "no session to sign with") for step in steps]
    outcome = signed.response
    passed = {
        "path": f"GET {call.path}",
        "signature": f"accepted for {endpoint.region}",
        "permission": f"GET {call.path} is allowed",
        "backend": f"{getattr(outcome, 'status', '')} in {signed.seconds:.2f} s",
    }
    if not isinstance(outcome, CallError):
        return [_ok(step, passed[step]) for step in steps]
    failed = _failed_step(outcome, is_http_api=unsigned.is_http_api)
    result = CheckResult(failed, Status.FAILED, outcome.problem, _CALL_STEPS[failed], outcome.remedy)
    if not is_chosen and _may_be_the_path(failed, outcome):
        result = CheckResult(failed, Status.WARNING, outcome.problem, remedy=_GIVE_A_PATH)
        if failed == "backend":
            result = _ok(failed, passed[failed])
    results = [_ok(step, passed[step]) for step in steps[: steps.index(failed)]]
    if unsigned.is_http_api and failed == "permission":
        results[-1] = _skipped("signature", "an HTTP API does not tell a wrong one from a missing permission")
    after = steps[steps.index(failed) + 1 :]
    return [*results, result, *(_skipped(step, f"the {failed} comes first") for step in after)]


def _failed_step(error: CallError, *, is_http_api: bool) -> str:
    match error:
        case ExpiredSessionError() | ForbiddenError(code="InvalidSignatureException" | "IncompleteSignatureException"):
            return "signature"
        case ForbiddenError(code="MissingAuthenticationTokenException" | "ForbiddenException"):
            return "path"
        case NotFoundError(code="", detail="Not Found") if is_http_api:
            return "path"
        case ForbiddenError(code="AccessDeniedException") | ForbiddenError(code="", detail="Forbidden"):
            return "permission"
    return "backend"


def _may_be_the_path(step: str, error: CallError) -> bool:
    """Whether a failure may be due to a path that nobody chose: the stage lacks it, or the role is not granted it."""
    if step == "backend":
        return isinstance(error, ApiError) and 400 <= error.status < 500 and error.status not in (403, 429)
    denial = Denial.parse(error.detail) if isinstance(error, ApiError) else None
    if denial:
        return (
            not denial.is_of_another_account and not denial.explicit and denial.policy in ("", "identity-based policy")
        )
    return step in ("path", "permission") and getattr(error, "code", "") != "ForbiddenException"
