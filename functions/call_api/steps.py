"""The steps of `call-api doctor` in their order: what the facts say about each, and which account can fix it."""

import ipaddress
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import partial
from urllib.parse import urlsplit

import certifi

from call_api.causes import Cause, advise, find_causes
from call_api.facts import Facts, is_api
from call_api.settings import find_remedy
from cross_account_api import errors
from cross_account_api.denials import Denial
from cross_account_api.endpoint import ROLE_ARN, ROLE_ARN_FORM, SESSION_NAME, SESSION_NAME_FORM
from cross_account_api.response import Response
from cross_account_api.transport import find_proxy

_CLOCK_SECONDS = 300
"""How far a signature's time may be from AWS's own."""

_PRIVATE_NETWORKS = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
_NO_PROFILE, _NO_URL = "no profile to read it from", "there is no URL"
_GIVE_A_PATH = "Give a path that the role may GET: call-api doctor /path, or api_path in the profile."


class Status(StrEnum):
    """How a step ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class CheckResult:
    """What one step showed, and which account can fix it."""

    status: Status
    observed: str  # or why it was not tried
    remedy: str = ""
    expected: str = ""
    causes: tuple[Cause, ...] = ()


_Judge = Callable[[Facts], CheckResult | None]
_STEPS: dict[str, tuple[_Judge, str, str]] = {}
"""In the order below: a judgement, what is expected, and what is said where nothing can be judged."""

_ok = partial(CheckResult, Status.OK)
_skipped = partial(CheckResult, Status.NOT_TRIED)
_warning = partial(CheckResult, Status.WARNING)
_failed = partial(CheckResult, Status.FAILED)


def judge(facts: Facts | errors.CallError) -> dict[str, CheckResult]:
    """Return the result of every step; of a profile that cannot be read, the first."""
    found = {"profile": facts} if isinstance(facts, errors.CallError) else facts.failures
    results = {}
    for name, (judge_step, expected, not_tried) in _STEPS.items():
        result = judge_step(facts) if isinstance(facts, Facts) else None
        result = result or (_error(found[name]) if name in found else _skipped(not_tried))
        if result.status is Status.FAILED and not result.expected:
            result = replace(result, expected=expected)
        results[name] = result
    return results


def _step(name: str, expected: str, not_tried: str) -> Callable[[_Judge], _Judge]:
    def add(judge_step: _Judge) -> _Judge:
        _STEPS[name] = (judge_step, expected, not_tried)
        return judge_step

    return add


def _error(error: errors.CallError) -> CheckResult:
    return _failed(error.problem, find_remedy(error))


# --- Who calls: account B ---------------------------------------------------------------------------------------------


@_step("profile", "a profile that leads to the API", "")
def _profile(facts: Facts) -> CheckResult | None:
    if "profile" in facts.failures:
        return None
    settings = facts.settings
    name = settings.profile or os.environ.get("AWS_PROFILE") or "default"
    names = ("source_profile", "credential_source", "sso_session", "mfa_serial")
    parts = [f"{key} {settings.in_profile[key]}" for key in names if settings.in_profile.get(key)]
    parts += [f"with {key}" for key in ("role_arn", "external_id") if getattr(settings.role, key)]
    return _ok(f"{name}: {', '.join(parts) or 'credentials without a role'}")


@_step("clock", f"at most {_CLOCK_SECONDS} s", "STS was not asked")
def _clock(facts: Facts) -> CheckResult | None:
    date = facts.caller.date if facts.caller else ""
    if not date:
        error = facts.failures.get("credentials")
        response = getattr(error and error.__cause__, "response", None) or {}  # an HTTPClientError has none
        date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        if not date:
            return _skipped("STS did not respond") if facts.own and error else None
    ahead = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    observed = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} STS"
    return _ok(observed) if abs(ahead) <= _CLOCK_SECONDS else _failed(observed, "Account B: set the clock.")


@_step("credentials", "credentials that STS knows", "no profile to find them with")
def _credentials(facts: Facts) -> CheckResult | None:
    if facts.caller:
        return _ok(facts.caller.arn)
    is_unknown = facts.own and "credentials" not in facts.failures
    return _skipped("a web identity is known only once it is used") if is_unknown else None


@_step("account", "an IAM user or role of a consumer account", "the caller is not known")
def _account(facts: Facts) -> CheckResult | None:
    caller, role = facts.caller, facts.role
    if not caller:
        return None
    if caller.is_root and role.role_arn:
        remedy = "Account B: use an IAM user or a role; the root user can assume none."
        return _failed(f"the root user of {caller.account}", remedy)
    if role.role_arn.split(":")[4:5] == [caller.account] and not facts.is_overridden:
        remedy = "Account B: source_profile must have credentials of account B, role_arn the role of account A."
        result = _failed if role.is_ours else _warning
        return result(f"{caller.account}, which owns the role as well", remedy)
    return _ok(caller.account)


@_step("role ARN", f"account A's output ExecutorRoleArn, {ROLE_ARN_FORM}", _NO_PROFILE)
def _role_arn(facts: Facts) -> CheckResult | None:
    role_arn, caller = facts.role.role_arn, facts.caller
    if facts.is_overridden and caller and not caller.is_session_of(role_arn):
        remedy = "Account B: unset AWS_ACCESS_KEY_ID, or name the profile with --profile."
        observed = "AWS_ACCESS_KEY_ID is set and comes before the profile's role"
        return _failed(observed, remedy, "a session of the profile's role")
    if role_arn and not ROLE_ARN.fullmatch(role_arn):
        return _failed(role_arn, "Account B: set role_arn to account A's output ExecutorRoleArn.")
    if role_arn:
        return _ok(role_arn)
    if not caller:
        return _skipped("none, and the caller is not known")
    return _ok(f"none: requests are signed as {caller.arn} itself")


@_step("session name", "", _NO_PROFILE)
def _session_name(facts: Facts) -> CheckResult | None:
    role, caller = facts.role, facts.caller
    if not role.role_arn or facts.is_overridden:
        return _ok(caller.arn.rpartition("/")[2] if caller and caller.role_name else "not needed")
    name, account = role.session_name, caller.account if caller else "<account id>"
    is_bound = name.startswith(f"{account}-") if caller else name[:12].isdecimal() and name[12:13] == "-"
    if SESSION_NAME.fullmatch(name) and is_bound:
        return _ok(name)
    observed = name or "the profile has no role_session_name"
    remedy = "Account B: set role_session_name; account A knows the consumer by it. call-api configure writes it."
    if not role.is_ours:
        return _warning(observed, remedy)
    return _failed(observed, remedy, f"{account}-<name>, {SESSION_NAME_FORM}")


@_step("AssumeRole", "a session of the role", "no credentials to do it with")
def _assume_role(facts: Facts) -> CheckResult | None:
    if error := facts.failures.get("AssumeRole"):
        return _explain_refusal(facts, error)
    if not facts.session:
        return _skipped("the credentials are not valid") if facts.own else None
    if facts.no_new_session:
        prefix = "the cached session is refused, and there is no new one: "
        return _explain_refusal(facts, facts.no_new_session, prefix)
    if facts.refused:
        observed = f"the cached session is refused, a new one is accepted: {facts.refused.problem}"
        remedy = "call-api replaces the session with the next call. Other tools: delete ~/.aws/cli/cache."
        return _warning(observed, remedy)
    if not facts.role.role_arn or facts.is_overridden:
        return _ok("not needed")
    return _ok("a session from ~/.aws/cli/cache" if facts.is_cached else "a new session of the role")


def _explain_refusal(facts: Facts, error: errors.CallError, prefix: str = "") -> CheckResult:
    """Return what STS says, and if it names no policy, everything that can be the reason."""
    result = _failed(prefix + error.problem, find_remedy(error))
    if not facts.caller or not isinstance(error, errors.AssumeRoleError) or error.code != "AccessDenied":
        return result
    denial = Denial.parse(error.detail)
    is_named = denial and (denial.policy or denial.action != "sts:AssumeRole")
    if is_named or "MultiFactorAuthentication" in error.detail:
        return result
    causes = find_causes(facts.caller, facts.role)
    return replace(result, remedy=advise(causes), causes=causes)


# --- Where the call goes ----------------------------------------------------------------------------------------------


@_step("URL", "account A's output ApiUrl", _NO_PROFILE)
def _url(facts: Facts) -> CheckResult | None:
    has_no_stage = ".execute-api." in facts.url and not urlsplit(facts.url).path
    note = " (no stage: right for an HTTP API's $default, wrong for a REST API)" if has_no_stage else ""
    return _ok(f"{facts.url}{note}") if facts.url else None


@_step("region", "the API's region", _NO_URL)
def _region(facts: Facts) -> CheckResult | None:
    if not facts.region:
        return _skipped("the profile that may name it cannot be used") if facts.url and not facts.own else None
    of_url = facts.settings.find_region_of_url()
    if of_url not in ("", facts.region):
        remedy = "Account B: --region, $API_REGION and api_region must be the API's region."
        return _failed(f"{facts.region}, but the API is in {of_url}", remedy, of_url)
    is_own = not of_url and not facts.settings.region
    note = ", your own: the URL names none; account A's output ApiRegion must be the same" if is_own else ""
    return _ok(f"{facts.region}{note}")


@_step("DNS", "an address", _NO_URL)
def _dns(facts: Facts) -> CheckResult | None:
    host, found = urlsplit(facts.url).hostname, facts.addresses
    if found is None:
        return None
    if isinstance(found, Exception):
        remedy = (
            "Account B: check the host in the API's URL, and DNS. Account A: check that the API exists. A private "
            "API's name has an address only in a VPC with an endpoint for execute-api and private DNS."
        )
        return _failed(f"{host}: {getattr(found, 'strerror', None) or found}", remedy)
    if found:
        return _ok(f"{host} is {', '.join(found)}{', in a private network' if _is_private(facts) else ''}")
    proxy = None
    with suppress(ValueError):  # the connection reports it
        proxy = urlsplit(find_proxy(facts.url) or "").hostname
    return _ok(f"left to the proxy {proxy or 'of HTTPS_PROXY'}")


def _is_private(facts: Facts) -> bool:
    found = facts.addresses if isinstance(facts.addresses, tuple) else ()
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
    return bool(found) and all(any(address in network for network in _PRIVATE_NETWORKS) for address in addresses)


@_step("TLS", "a connection to the API, with a trusted certificate", _NO_URL)
def _tls(facts: Facts) -> CheckResult | None:
    if error := facts.failures.get("TLS"):
        remedy = (
            "Account B: this is the address of a VPC endpoint: call from its network, and let the endpoint's security "
            "group admit port 443 from here."
        )
        is_outside = _is_private(facts) and not isinstance(error, errors.CertificateError)
        return _failed(error.problem, remedy) if is_outside else None
    if not facts.unsigned:
        return _skipped("the host has no address") if facts.url else None
    if not facts.url.startswith("https:"):
        return _ok("not used on this machine")
    own, public = facts.own.ca_bundle if facts.own else "", f"the public authorities in {certifi.where()}"
    by = own or os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or public
    return _ok(f"the certificate is trusted, by {by}")


# --- What the API says ------------------------------------------------------------------------------------------------


@_step("stage", "an API that refuses an unsigned request", "no connection")
def _stage(facts: Facts) -> CheckResult | None:
    match facts.unsigned:
        case None:
            return None
        case Response(status=status):
            observed = f"an unsigned request is answered with {status}"
            remedy = "Account A: the API is open to everybody; its methods must have the authorizer AWS_IAM."
            return _failed(observed, remedy) if facts.is_chosen else _warning(observed, _GIVE_A_PATH)
        case errors.NotFoundError() if facts.is_http_api:
            return _ok("an HTTP API")
        case errors.ApiError(status=status, code=code) as error if is_api(error, is_http_api=facts.is_http_api):
            kind = " by an HTTP API" if facts.is_http_api else ""
            return _ok(f"an unsigned request is refused{kind} with {status} {code}".rstrip())
        case errors.ForbiddenError() | errors.RedirectError() as error:
            return _error(error)
        case errors.ApiError(status=401) as error:
            remedy = "Account A: the method has another authorizer; for signed calls it must be AWS_IAM."
            return _failed(error.problem, remedy)
        case error:
            return _failed(error.problem, "Account B: the API's URL must be account A's output ApiUrl.")


def _call_step(step: str, facts: Facts) -> CheckResult | None:
    signed, path = facts.signed, f"GET {facts.call.path}"
    if not signed:
        return _skipped("no API to call") if facts.session else None
    passed = {
        "path": path,
        "signature": f"accepted for {facts.region}",
        "permission": f"{path} is allowed",
        "backend": f"{getattr(signed, 'status', '')} in {facts.seconds:.2f} s",
    }[step]
    if isinstance(signed, Response):
        return _ok(passed)
    failed_at = _failed_step(signed, is_http_api=facts.is_http_api)
    order = list(_CALL_STEPS)
    if order.index(step) > order.index(failed_at):
        return _skipped(f"the {failed_at} comes first")
    if step == "signature" and failed_at == "permission" and facts.is_http_api and not getattr(signed, "code", ""):
        return _skipped("an HTTP API does not tell a wrong one from a missing permission")
    if step != failed_at:
        return _ok(passed)
    if facts.is_chosen or not _may_be_the_path(step, signed):
        return _error(signed)
    return _ok(passed) if step == "backend" else _warning(signed.problem, _GIVE_A_PATH)


_CALL_STEPS = {
    "path": "a method and path that the stage has",
    "signature": "a signature that API Gateway computes as well",
    "permission": "no policy that denies this call, and one that allows it",
    "backend": "2xx",
}
"""What one signed request shows, in the order in which AWS looks at it, and what is expected."""

for _name, _expected in _CALL_STEPS.items():
    _step(_name, _expected, "no session to sign with")(partial(_call_step, _name))


def _failed_step(error: errors.CallError, *, is_http_api: bool) -> str:
    match error:
        case errors.ExpiredSessionError():
            return "signature"
        case errors.ForbiddenError(code="InvalidSignatureException" | "IncompleteSignatureException"):
            return "signature"
        case errors.ForbiddenError(code="MissingAuthenticationTokenException" | "ForbiddenException" | "WafAction"):
            return "path"
        case errors.NotFoundError(code="", detail="Not Found") if is_http_api:
            return "path"
        case errors.ForbiddenError(code="AccessDeniedException") | errors.ForbiddenError(code="", detail="Forbidden"):
            return "permission"
    return "backend"


def _may_be_the_path(step: str, error: errors.CallError) -> bool:
    """Whether a failure may be due to a path that nobody chose: the stage lacks it, or the role is not granted it."""
    if not isinstance(error, errors.ApiError):
        return False
    if step == "backend":
        return 400 <= error.status < 500 and error.status not in (403, 429)
    if denial := Denial.parse(error.detail):
        return denial.is_of_executor and not denial.explicit and denial.policy in ("", "identity-based policy")
    return step in ("path", "permission") and error.code not in ("ForbiddenException", "WafAction")
