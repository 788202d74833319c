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

_GIVE_A_PATH = "Give a path that the role may GET: call-api doctor /path, or api_path in the profile."


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
        status: How it ended.
        observed: What was seen; why it was not tried.
        expected: What should have been seen; only if it failed.
        remedy: Which account can fix it, and how; also for a warning.
        causes: What may be behind it, where AWS does not say.
    """

    status: Status
    observed: str
    expected: str = ""
    remedy: str = ""
    causes: tuple[Cause, ...] = ()


def diagnose(
    settings: ApiSettings | AssumeRoleError | SettingsError, call: Call, *, is_chosen: bool
) -> dict[str, CheckResult]:
    """Check a call step by step, from the profile to the backend.

    Args:
        settings: Options and profile, or why these cannot be read.
        call: What to send.
        is_chosen: Whether somebody chose the path, so that the backend must answer 2xx; else any response will do.
    """
    if isinstance(settings, ApiSettings):
        profile = inspect_profile(settings)
        endpoint = inspect_endpoint(settings, profile.region)
    else:
        profile, endpoint = Profile(None, problem=settings), Endpoint()
    unsigned = send_unsigned(profile, endpoint, call) if endpoint.addresses or endpoint.proxy else None
    stage = _check_stage(unsigned, is_chosen=is_chosen)
    signed = None
    if unsigned and (stage.status in (Status.OK, Status.WARNING) or isinstance(unsigned.response, Response)):
        signed = send_signed(profile, endpoint, call)  # no session token is sent to anything else
    return {
        "profile": _check_profile(profile),
        "clock": _check_clock(profile),
        "credentials": _check_credentials(profile),
        "account": _check_account(profile),
        "role ARN": _check_role_arn(profile),
        "session name": _check_session_name(profile),
        "AssumeRole": _check_assume_role(profile, signed),
        "URL": _check_url(profile, endpoint),
        "region": _check_region(profile, endpoint),
        "DNS": _check_dns(endpoint),
        "TLS": _check_tls(profile, endpoint, unsigned),
        "stage": stage,
        **_check_call(profile, endpoint, unsigned, signed, call, is_chosen=is_chosen),
    }


def _ok(observed: str) -> CheckResult:
    return CheckResult(Status.OK, observed)


def _skipped(reason: str) -> CheckResult:
    return CheckResult(Status.NOT_TRIED, reason)


def _warning(observed: str, remedy: str) -> CheckResult:
    return CheckResult(Status.WARNING, observed, remedy=remedy)


def _failed(observed: str | CallError, expected: str, remedy: str = "", causes: tuple[Cause, ...] = ()) -> CheckResult:
    if isinstance(observed, CallError):
        return CheckResult(Status.FAILED, observed.problem, expected, remedy or find_remedy(observed), causes)
    return CheckResult(Status.FAILED, observed, expected, remedy, causes)


# --- Who calls: account B ---------------------------------------------------------------------------------------------


def _has_no_credentials(profile: Profile) -> bool:
    code = profile.problem.code if isinstance(profile.problem, AssumeRoleError) else ""
    return code in ("NoCredentialsError", "MissingSessionToken")


def _check_profile(profile: Profile) -> CheckResult:
    problem, settings = profile.problem, profile.settings
    if problem and not _has_no_credentials(profile):
        return _failed(problem, "a profile that leads to the API")
    if not settings:
        return _skipped("none")
    name = settings.profile or os.environ.get("AWS_PROFILE") or "default"
    names = ("source_profile", "credential_source", "sso_session", "mfa_serial")
    parts = [f"{key} {settings.in_profile[key]}" for key in names if settings.in_profile.get(key)]
    parts += [f"with {key}" for key in ("role_arn", "external_id") if getattr(profile.role, key)]
    return _ok(f"{name}: {', '.join(parts) or 'credentials without a role'}")


def _check_clock(profile: Profile) -> CheckResult:
    if not profile.sts_date:
        return _skipped("STS did not respond" if profile.caller_problem else "STS was not asked")
    ahead = (datetime.now(UTC) - parsedate_to_datetime(profile.sts_date)).total_seconds()
    observed = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} STS"
    if abs(ahead) > _CLOCK_SECONDS:
        return _failed(observed, f"at most {_CLOCK_SECONDS} s", "Account B: set the clock.")
    return _ok(observed)


def _check_credentials(profile: Profile) -> CheckResult:
    problem = profile.problem if _has_no_credentials(profile) else profile.caller_problem
    if profile.caller:
        return _ok(profile.caller.arn)
    if problem and profile.session:
        return _skipped("a web identity is known only once it is used")
    return _failed(problem, "credentials that STS knows") if problem else _skipped("no profile to find them with")


def _check_account(profile: Profile) -> CheckResult:
    caller, role = profile.caller, profile.role
    if not caller:
        return _skipped("the caller is not known")
    if caller.is_root and role.role_arn:
        remedy = "Account B: use an IAM user or a role; the root user can assume none."
        return _failed(f"the root user of {caller.account}", "an IAM user or role of a consumer account", remedy)
    if role.role_arn.split(":")[4:5] == [caller.account] and not profile.is_overridden:
        observed = f"{caller.account}, which owns the role as well"
        remedy = "Account B: source_profile must have credentials of account B, role_arn the role of account A."
        return _failed(observed, "a consumer account", remedy) if role.is_ours else _warning(observed, remedy)
    return _ok(caller.account)


def _check_role_arn(profile: Profile) -> CheckResult:
    role_arn = profile.role.role_arn
    if not profile.settings:
        return _skipped("no profile to read it from")
    if profile.is_overridden and profile.caller and not profile.caller.is_session_of(role_arn):
        observed = "AWS_ACCESS_KEY_ID is set and comes before the profile's role"
        remedy = "Account B: unset AWS_ACCESS_KEY_ID, or name the profile with --profile."
        return _failed(observed, "a session of the profile's role", remedy)
    if role_arn and not ROLE_ARN.fullmatch(role_arn):
        expected = "account A's output ExecutorRoleArn: arn:aws:iam::<account A>:role/<name>"
        return _failed(role_arn, expected, "Account B: set role_arn to account A's output ExecutorRoleArn.")
    if role_arn:
        return _ok(role_arn)
    if not profile.caller:
        return _skipped("none, and the caller is not known")
    return _ok(f"none: requests are signed as {profile.caller.arn} itself")


def _check_session_name(profile: Profile) -> CheckResult:
    role, caller = profile.role, profile.caller
    if not profile.settings:
        return _skipped("no profile to read it from")
    if not role.role_arn or profile.is_overridden:
        return _ok((caller and caller.session_name) or "not needed")
    name, account = role.session_name, caller.account if caller else "<account id>"
    is_bound = name.startswith(f"{account}-") if caller else name[:12].isdecimal() and name[12:13] == "-"
    if SESSION_NAME.fullmatch(name) and is_bound:
        return _ok(name)
    observed = name or "the profile has no role_session_name"
    remedy = "Account B: set role_session_name; account A knows the consumer by it. call-api configure writes it."
    if not role.is_ours:
        return _warning(observed, remedy)
    return _failed(observed, f"{account}-<name>, at most 64 letters, digits or _+=,.@-", remedy)


def _check_assume_role(profile: Profile, signed: Signed | None) -> CheckResult:
    if problem := profile.session_problem or (signed and signed.renewal_problem):
        causes: tuple[Cause, ...] = ()
        denial = Denial.parse(problem.detail)
        is_open = problem.code == "AccessDenied" and "MultiFactorAuthentication" not in problem.detail
        if is_open and profile.caller and not (denial and (denial.policy or denial.action != "sts:AssumeRole")):
            causes = find_causes(profile.caller, profile.role)
        prefix = "the cached session is refused, and there is no new one: " if profile.session else ""
        return _failed(
            prefix + problem.problem, "a session of the role", advise(causes) or find_remedy(problem), causes
        )
    if not profile.session:
        return _skipped("the credentials are not valid" if profile.caller_problem else "no credentials to do it with")
    if signed and signed.cached:
        observed = f"the cached session is refused, a new one is accepted: {signed.cached.problem}"
        return _warning(
            observed, "call-api replaces the session with the next call. Other tools: delete ~/.aws/cli/cache."
        )
    if not profile.role.role_arn or profile.is_overridden:
        return _ok("not needed")
    return _ok("a session from ~/.aws/cli/cache" if profile.is_cached else "a new session of the role")


# --- Where the call goes ----------------------------------------------------------------------------------------------


def _check_url(profile: Profile, endpoint: Endpoint) -> CheckResult:
    if not profile.settings:
        return _skipped("no profile to read it from")
    if endpoint.url_problem:
        return _failed(endpoint.url_problem, "account A's output ApiUrl")
    if ".execute-api." in endpoint.url and not urlsplit(endpoint.url).path:
        return _ok(f"{endpoint.url} (no stage: right for an HTTP API's $default, wrong for a REST API)")
    return _ok(endpoint.url)


def _check_region(profile: Profile, endpoint: Endpoint) -> CheckResult:
    if not endpoint.url:
        return _skipped("there is no URL")
    if endpoint.region_problem:
        if profile.problem:
            return _skipped("the profile that may name it cannot be used")
        return _failed(endpoint.region_problem, "the API's region")
    if endpoint.region != endpoint.url_region:
        observed = f"{endpoint.region}, but the API is in {endpoint.url_region}"
        remedy = "Account B: --region, $API_REGION and api_region must be the API's region."
        return _failed(observed, endpoint.url_region, remedy)
    return _ok(endpoint.region)


def _check_dns(endpoint: Endpoint) -> CheckResult:
    if not endpoint.url:
        return _skipped("there is no URL")
    if endpoint.proxy:
        return _ok(f"left to the proxy {endpoint.proxy}")
    host = urlsplit(endpoint.url).hostname
    if endpoint.dns_problem:
        remedy = (
            "Account B: check the host in the API's URL, and DNS. "
            "Account A: check that the API exists, and whether it is private."
        )
        return _failed(f"{host}: {endpoint.dns_problem}", "an address", remedy)
    return _ok(f"{host} is {', '.join(endpoint.addresses)}")


def _check_tls(profile: Profile, endpoint: Endpoint, unsigned: Unsigned | None) -> CheckResult:
    if not unsigned:
        return _skipped("the host has no address" if endpoint.dns_problem else "there is no URL")
    if unsigned.problem:
        return _failed(unsigned.problem, "a connection to the API, with a trusted certificate")
    if endpoint.url.startswith("http:"):
        return _ok("not used on this machine")
    bundle = profile.ca_bundle or os.environ.get("AWS_CA_BUNDLE")
    return _ok(f"the certificate is trusted, by {bundle or f'the public authorities in {certifi.where()}'}")


def _check_stage(unsigned: Unsigned | None, *, is_chosen: bool) -> CheckResult:
    """Judge by the response to an unsigned request whether there is an API that is closed to strangers."""
    expected = "an API that refuses an unsigned request"
    match unsigned and unsigned.response:
        case Response(status=status):
            observed = f"an unsigned request is answered with {status}"
            if not is_chosen:
                return _warning(observed, _GIVE_A_PATH)
            remedy = "Account A: the API is open to everybody; its methods must have the authorizer AWS_IAM."
            return _failed(observed, expected, remedy)
        case ForbiddenError(code="ForbiddenException") | RedirectError() as error:
            return _failed(error, expected)
        case ForbiddenError() | ThrottledError() | ServerError() as error:
            kind = " by an HTTP API" if unsigned and unsigned.is_http_api else ""
            return _ok(f"an unsigned request is refused{kind} with {error.status} {error.code}".rstrip())
        case NotFoundError() if unsigned and unsigned.is_http_api:
            return _ok("an HTTP API")
        case ApiError(status=401) as error:
            remedy = "Account A: the method has another authorizer; for signed calls it must be AWS_IAM."
            return _failed(error, expected, remedy)
        case CallError() as error:
            return _failed(error, expected, "Account B: the API's URL must be account A's output ApiUrl.")
    return _skipped("no connection")


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
) -> dict[str, CheckResult]:
    if not (signed and unsigned):
        return dict.fromkeys(_CALL_STEPS, _skipped("no API to call" if profile.session else "no session to sign with"))
    outcome = signed.response
    if isinstance(outcome, CallError) and unsigned.is_http_api and isinstance(unsigned.response, NotFoundError):
        outcome = unsigned.response  # an HTTP API looks for the route first
    results = {
        "path": _ok(f"GET {call.path}"),
        "signature": _ok(f"accepted for {endpoint.region}"),
        "permission": _ok(f"GET {call.path} is allowed"),
        "backend": _ok(f"{getattr(outcome, 'status', '')} in {signed.seconds:.2f} s"),
    }
    if not isinstance(outcome, CallError):
        return results
    failed = _failed_step(outcome, is_http_api=unsigned.is_http_api)
    if is_chosen or not _may_be_the_path(failed, outcome):
        results[failed] = _failed(outcome, _CALL_STEPS[failed])
    elif failed != "backend":
        results[failed] = _warning(outcome.problem, _GIVE_A_PATH)
    if unsigned.is_http_api and failed == "permission" and isinstance(outcome, ApiError) and not outcome.code:
        results["signature"] = _skipped("an HTTP API does not tell a wrong one from a missing permission")
    steps = list(_CALL_STEPS)
    return results | dict.fromkeys(steps[steps.index(failed) + 1 :], _skipped(f"the {failed} comes first"))


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
    if not isinstance(error, ApiError):
        return False
    if step == "backend":
        return 400 <= error.status < 500 and error.status not in (403, 429)
    if denial := Denial.parse(error.detail):
        return denial.is_of_executor and not denial.explicit and denial.policy in ("", "identity-based policy")
    return step in ("path", "permission") and error.code != "ForbiddenException"
