"""Doctor's way from the profile to the backend. Nothing is changed on it.

STS is asked who the caller is and for a session, and the API gets GET, once unsigned and once signed.
"""

import ipaddress
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from time import monotonic
from urllib.parse import urlsplit

import certifi
from botocore.credentials import ReadOnlyCredentials

from call_api.aws import Caller, identify
from call_api.causes import advise, find_causes
from call_api.checks import CALL_STEPS, CheckResult, Status, failed, judge_call, judge_stage, ok, skipped, warning
from call_api.settings import ApiSettings
from cross_account_api import errors
from cross_account_api.call import Call
from cross_account_api.client import Client
from cross_account_api.credentials import Credentials, ProfileCredentials, SessionCache, default_session_name
from cross_account_api.denials import Denial
from cross_account_api.endpoint import ROLE_ARN, SESSION_NAME, find_api_region
from cross_account_api.response import Response, read_response
from cross_account_api.transport import Connections, Request, Timeout, find_proxy

_CLOCK_SECONDS = 300
"""How far a signature's time may be from AWS's own."""

_PROBE_TIMEOUT = Timeout(connect=10.0, read=10.0, total=20.0)
_CALL_SECONDS = 20.0

_PRIVATE_NETWORKS = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
_IN_A_NETWORK = ", in a private network"
_OUTSIDE = (
    "Account B: this is the address of a VPC endpoint: call from its network, and let the endpoint's security group "
    "admit port 443 from here."
)
NOT_REACHED = {
    "profile": skipped(""),
    "clock": skipped("STS was not asked"),
    "credentials": skipped("no profile to find them with"),
    "account": skipped("the caller is not known"),
    "role ARN": skipped("no profile to read it from"),
    "session name": skipped("no profile to read it from"),
    "AssumeRole": skipped("no credentials to do it with"),
    "URL": skipped("no profile to read it from"),
    "region": skipped("there is no URL"),
    "DNS": skipped("there is no URL"),
    "TLS": skipped("there is no URL"),
    "stage": skipped("no connection"),
    **dict.fromkeys(CALL_STEPS, skipped("no session to sign with")),
}
"""All steps in their order, as long as no check gets that far."""


class Diagnosis:
    """Checks a GET step by step; if nobody chose its path, any response of the backend will do."""

    def __init__(self, settings: ApiSettings, call: Call, *, is_chosen: bool) -> None:
        self._results = dict(NOT_REACHED)
        self._settings = settings
        self._call = call
        self._is_chosen = is_chosen
        self._role = settings.role
        self._own: ProfileCredentials | None = None
        self._is_overridden = False  # by credentials in the environment, which come before the profile's role
        self._caller: Caller | None = None
        self._session: ReadOnlyCredentials | None = None
        self._is_cached = False

    def run(self) -> dict[str, CheckResult]:
        """Return the result of every step."""
        self._check_profile()
        self._results["role ARN"] = self._check_role_arn()
        self._results["session name"] = self._check_session_name()
        self._check_url()
        return self._results

    # --- Who calls: account B -----------------------------------------------------------------------------------------

    def _check_profile(self) -> None:
        settings, cache = self._settings, SessionCache()
        name = settings.profile or os.environ.get("AWS_PROFILE") or "default"
        names = ("source_profile", "credential_source", "sso_session", "mfa_serial")
        parts = [f"{key} {settings.in_profile[key]}" for key in names if settings.in_profile.get(key)]
        parts += [f"with {key}" for key in ("role_arn", "external_id") if getattr(self._role, key)]
        self._results["profile"] = ok(f"{name}: {', '.join(parts) or 'credentials without a role'}")
        try:
            own = ProfileCredentials(settings.profile, cache=cache)
            credentials = settings.find_credentials(own)
        except errors.AssumeRoleError as error:
            if error.code in ("NoCredentialsError", "MissingSessionToken"):
                self._results["credentials"] = failed(error, "credentials that STS knows")
            else:
                self._results["profile"] = failed(error, "a profile that leads to the API")
            return
        self._own = own
        self._is_overridden = settings.is_own_role and bool(settings.role.role_arn) and own.method == "env"
        self._identify_caller()
        if self._caller or "web_identity_token_file" in settings.in_profile:
            self._get_session(credentials, cache)

    def _identify_caller(self) -> None:
        settings = self._settings
        try:
            # The caller of --role-arn is what the profile leads to, a role of its own included.
            has_own_role = settings.is_own_role and not self._is_overridden
            self._caller = identify(settings.profile, settings.in_profile if has_own_role else {})
        except errors.AssumeRoleError as error:
            response = getattr(error.__cause__, "response", None) or {}  # an HTTPClientError has none
            date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
            self._results["clock"] = _check_clock(date) if date else skipped("STS did not respond")
            self._results["credentials"] = failed(error, "credentials that STS knows")
            self._results["AssumeRole"] = skipped("the credentials are not valid")
            return
        if self._caller.date:
            self._results["clock"] = _check_clock(self._caller.date)
        self._results["credentials"] = ok(self._caller.arn)
        self._results["account"] = self._check_account(self._caller)
        if not settings.is_own_role and not self._role.session_name:
            name = default_session_name(self._caller.account, self._caller.arn)
            self._role = replace(self._role, session_name=name)

    def _check_account(self, caller: Caller) -> CheckResult:
        role = self._role
        if caller.is_root and role.role_arn:
            remedy = "Account B: use an IAM user or a role; the root user can assume none."
            return failed(f"the root user of {caller.account}", "an IAM user or role of a consumer account", remedy)
        if role.role_arn.split(":")[4:5] == [caller.account] and not self._is_overridden:
            observed = f"{caller.account}, which owns the role as well"
            remedy = "Account B: source_profile must have credentials of account B, role_arn the role of account A."
            return failed(observed, "a consumer account", remedy) if role.is_ours else warning(observed, remedy)
        return ok(caller.account)

    def _get_session(self, credentials: Credentials, cache: SessionCache) -> None:
        """Get the session that call-api would sign with: one from the cache, if there is one."""
        try:
            self._session = credentials.get_frozen_credentials()
        except errors.AssumeRoleError as error:
            self._results["AssumeRole"] = self._explain_refusal(error)
            return
        self._is_cached = cache.issued_elsewhere(str(self._session.access_key))
        observed = "a session from ~/.aws/cli/cache" if self._is_cached else "a new session of the role"
        is_needed = self._role.role_arn and not self._is_overridden
        self._results["AssumeRole"] = ok(observed if is_needed else "not needed")
        if not self._caller:
            self._results["credentials"] = skipped("a web identity is known only once it is used")
        self._results |= dict.fromkeys(CALL_STEPS, skipped("no API to call"))

    def _explain_refusal(self, error: errors.AssumeRoleError, prefix: str = "") -> CheckResult:
        result = failed(error, "a session of the role")
        denial = Denial.parse(error.detail)
        is_open = error.code == "AccessDenied" and "MultiFactorAuthentication" not in error.detail
        if is_open and self._caller and not (denial and (denial.policy or denial.action != "sts:AssumeRole")):
            causes = find_causes(self._caller, self._role)
            result = replace(result, remedy=advise(causes), causes=causes)
        return replace(result, observed=prefix + result.observed)

    def _check_role_arn(self) -> CheckResult:
        role_arn, caller = self._role.role_arn, self._caller
        if self._is_overridden and caller and not caller.is_session_of(role_arn):
            observed = "AWS_ACCESS_KEY_ID is set and comes before the profile's role"
            remedy = "Account B: unset AWS_ACCESS_KEY_ID, or name the profile with --profile."
            return failed(observed, "a session of the profile's role", remedy)
        if role_arn and not ROLE_ARN.fullmatch(role_arn):
            expected = "account A's output ExecutorRoleArn: arn:aws:iam::<account A>:role/<name>"
            return failed(role_arn, expected, "Account B: set role_arn to account A's output ExecutorRoleArn.")
        if role_arn:
            return ok(role_arn)
        if not caller:
            return skipped("none, and the caller is not known")
        return ok(f"none: requests are signed as {caller.arn} itself")

    def _check_session_name(self) -> CheckResult:
        role, caller = self._role, self._caller
        if not role.role_arn or self._is_overridden:
            return ok(caller.arn.rpartition("/")[2] if caller and caller.role_name else "not needed")
        name, account = role.session_name, caller.account if caller else "<account id>"
        is_bound = name.startswith(f"{account}-") if caller else name[:12].isdecimal() and name[12:13] == "-"
        if SESSION_NAME.fullmatch(name) and is_bound:
            return ok(name)
        observed = name or "the profile has no role_session_name"
        remedy = "Account B: set role_session_name; account A knows the consumer by it. call-api configure writes it."
        if not role.is_ours:
            return warning(observed, remedy)
        return failed(observed, f"{account}-<name>, at most 64 letters, digits or _+=,.@-", remedy)

    # --- Where the call goes ------------------------------------------------------------------------------------------

    def _check_url(self) -> None:
        try:
            url = self._settings.parse_url()
        except errors.SettingsError as error:
            self._results["URL"] = failed(error, "account A's output ApiUrl")
            return
        has_no_stage = ".execute-api." in url and not urlsplit(url).path
        note = " (no stage: right for an HTTP API's $default, wrong for a REST API)" if has_no_stage else ""
        self._results["URL"] = ok(f"{url}{note}")
        region = self._check_region(url)
        self._results["DNS"] = _check_dns(url)
        if self._results["DNS"].status is Status.OK:
            self._check_api(url, region)
        else:
            self._results["TLS"] = skipped("the host has no address")

    def _check_region(self, url: str) -> str:
        region = ""
        try:
            region = self._settings.find_region(self._own.region if self._own else "")
            url_region = find_api_region(url, "", region)
            result = ok(region)
            if not self._settings.given_region and find_api_region(url, "", "no-region-0") == "no-region-0":
                result = ok(f"{region}, your own: the URL names none; account A's output ApiRegion must be the same")
            if region != url_region:
                remedy = "Account B: --region, $API_REGION and api_region must be the API's region."
                result = failed(f"{region}, but the API is in {url_region}", url_region, remedy)
        except errors.SettingsError as error:
            result = failed(error, "the API's region")
            if not self._own:
                result = skipped("the profile that may name it cannot be used")
        self._results["region"] = result
        return region

    # --- What the API says --------------------------------------------------------------------------------------------

    def _check_api(self, url: str, region: str) -> None:
        ca_bundle = self._own.ca_bundle if self._own else ""
        is_http_api = False
        unsigned: Response | errors.CallError
        try:
            transport = Connections(url, 1, ca_bundle)
            http = transport.send(Request(self._call.method, url + self._call.target), _PROBE_TIMEOUT)
            is_http_api = "apigw-requestid" in http.headers
            unsigned = read_response(http)
        except (errors.ConnectionFailedError, errors.SettingsError) as error:
            is_private = self._results["DNS"].observed.endswith(_IN_A_NETWORK)
            remedy = _OUTSIDE if is_private and not isinstance(error, errors.CertificateError) else ""
            self._results["TLS"] = failed(error, "a connection to the API, with a trusted certificate", remedy)
            return
        except errors.CallError as error:
            unsigned = error
        self._results["TLS"] = ok("not used on this machine")
        if url.startswith("https:"):
            public = f"the public authorities in {certifi.where()}"
            by = ca_bundle or os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or public
            self._results["TLS"] = ok(f"the certificate is trusted, by {by}")
        stage = judge_stage(unsigned, is_http_api=is_http_api, is_chosen=self._is_chosen)
        self._results["stage"] = stage
        is_api = stage.status is not Status.FAILED or isinstance(unsigned, Response)
        if not (self._session and region and is_api):
            return  # no session token is sent to anything else
        api_key = self._settings.api_key or None
        open_client = partial(Client, url, region=region, api_key=api_key, transport=transport)
        start = monotonic()
        signed = _send(self._call, open_client(credentials=_Session(self._session)))
        seconds = monotonic() - start
        if self._is_cached and isinstance(signed, errors.ForbiddenError):
            signed = self._try_new_session(signed, open_client)
        if is_http_api and isinstance(signed, errors.CallError) and isinstance(unsigned, errors.NotFoundError):
            signed = unsigned  # an HTTP API looks for the route first
        self._results |= judge_call(
            signed, self._call, is_http_api=is_http_api, is_chosen=self._is_chosen, region=region, seconds=seconds
        )

    def _try_new_session(
        self, refused: errors.ForbiddenError, open_client: partial[Client]
    ) -> Response | errors.CallError:
        """Find out whether the API accepts a new session, where it refused the one from the cache."""
        try:
            # Neither from the cache nor put there: what call-api does next is not changed.
            own = ProfileCredentials(self._settings.profile, cache=SessionCache(shared=False))
            session = own.get_frozen_credentials()
        except errors.AssumeRoleError as error:
            prefix = "the cached session is refused, and there is no new one: "
            self._results["AssumeRole"] = self._explain_refusal(error, prefix)
            return refused
        response = _send(self._call, open_client(credentials=_Session(session)))
        if isinstance(response, errors.ForbiddenError):
            return refused
        observed = f"the cached session is refused, a new one is accepted: {refused.problem}"
        remedy = "call-api replaces the session with the next call. Other tools: delete ~/.aws/cli/cache."
        self._results["AssumeRole"] = warning(observed, remedy)
        return response


@dataclass(frozen=True)
class _Session:
    """Credentials that are not replaced."""

    credentials: ReadOnlyCredentials

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.credentials

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        del refused, expired
        return False


def _send(call: Call, client: Client) -> Response | errors.CallError:
    try:
        return client.send(call, deadline=monotonic() + _CALL_SECONDS)
    except errors.CallError as error:
        return error.__cause__ if isinstance(error.__cause__, errors.CallError) else error


def _check_clock(sts_date: str) -> CheckResult:
    ahead = (datetime.now(UTC) - parsedate_to_datetime(sts_date)).total_seconds()
    observed = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} STS"
    if abs(ahead) > _CLOCK_SECONDS:
        return failed(observed, f"at most {_CLOCK_SECONDS} s", "Account B: set the clock.")
    return ok(observed)


def _check_dns(url: str) -> CheckResult:
    if proxy := find_proxy(url):
        name = None
        with suppress(ValueError):  # the connection reports it
            name = urlsplit(proxy).hostname
        return ok(f"left to the proxy {name or 'of HTTPS_PROXY'}")
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        observed = f"{parts.hostname}: {getattr(error, 'strerror', None) or error}"
        remedy = (
            "Account B: check the host in the API's URL, and DNS. Account A: check that the API exists. A private "
            "API's name has an address only in a VPC with an endpoint for execute-api and private DNS."
        )
        return failed(observed, "an address", remedy)
    addresses = sorted({str(address[0]) for *_, address in found})
    where = _IN_A_NETWORK if all(map(_is_private, addresses)) else ""
    return ok(f"{parts.hostname} is {', '.join(addresses)}{where}")


def _is_private(address: str) -> bool:
    return any(ipaddress.ip_address(address.partition("%")[0]) in network for network in _PRIVATE_NETWORKS)
