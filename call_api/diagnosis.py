"""What doctor looks at: the caller, the endpoint, and two requests to it. Nothing is changed by it.

STS is asked who the caller is and for a session, and the API gets GET, once unsigned and once signed.
"""

import socket
from dataclasses import dataclass, field
from time import monotonic
from urllib.parse import urlsplit

from botocore.credentials import ReadOnlyCredentials

from call_api.aws import Caller, identify
from call_api.causes import RoleRequest
from call_api.settings import ApiSettings
from cross_account_api.call import Call
from cross_account_api.client import Client
from cross_account_api.credentials import ProfileCredentials, SessionCache
from cross_account_api.endpoint import find_api_region
from cross_account_api.errors import AssumeRoleError, CallError, ConnectionFailedError, ForbiddenError, SettingsError
from cross_account_api.response import Response, read_response
from cross_account_api.transport import Connections, Request, Timeout, find_proxy

_PROBE_TIMEOUT = Timeout(connect=10.0, read=10.0, total=20.0)
_CALL_SECONDS = 20.0


@dataclass(frozen=True)
class Profile:
    """Who calls.

    Attributes:
        settings: Options and the profile; None if it cannot be read.
        problem: Why it leads to no credentials.
        role: What STS is asked for; its ARN is empty if requests are signed without a role.
        is_overridden: Whether credentials in the environment come before the profile's role.
        caller: Whose credentials they are, before a role is assumed.
        caller_problem: Why that is not known.
        sts_date: STS's own time, as the header `Date` has it.
        session: What requests are signed with.
        session_problem: Why there is none.
        is_cached: Whether another process got the session.
        region: The caller's own region.
        ca_bundle: The profile's file of CA certificates; empty for none.
    """

    settings: ApiSettings | None
    problem: AssumeRoleError | SettingsError | None = None
    role: RoleRequest = field(default_factory=lambda: RoleRequest(""))
    is_overridden: bool = False
    caller: Caller | None = None
    caller_problem: AssumeRoleError | None = None
    sts_date: str = ""
    session: ReadOnlyCredentials | None = None
    session_problem: AssumeRoleError | None = None
    is_cached: bool = False
    region: str = ""
    ca_bundle: str = ""


@dataclass(frozen=True)
class Endpoint:
    """Where the call goes: what was found out, or why not."""

    url: str = ""
    url_problem: SettingsError | None = None
    region: str = ""
    region_problem: SettingsError | None = None
    url_region: str = ""
    addresses: tuple[str, ...] = ()
    proxy: str = ""
    dns_problem: str = ""


@dataclass(frozen=True)
class Unsigned:
    """What the API responded to an unsigned request: `response` is what it means, `problem` why there is none."""

    problem: CallError | None = None
    response: Response | CallError | None = None
    is_http_api: bool = False


@dataclass(frozen=True)
class Signed:
    """What the API responded to a signed request.

    Attributes:
        response: What it means.
        seconds: How long it took.
        cached: Why the session from the cache was refused, if a new one is accepted.
        renewal_problem: Why no new session was to be had when the one from the cache was refused.
    """

    response: Response | CallError
    seconds: float
    cached: ForbiddenError | None = None
    renewal_problem: AssumeRoleError | None = None


@dataclass(frozen=True)
class _Session:
    """Credentials that are not replaced."""

    credentials: ReadOnlyCredentials

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.credentials

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        del refused, expired
        return False


def inspect_profile(settings: ApiSettings) -> Profile:
    """Find out who calls, and get the session that call-api would sign with: one from the cache, if there is one."""
    cache = SessionCache()
    try:
        own = ProfileCredentials(settings.profile, cache=cache)
        credentials = settings.find_credentials(own)
    except AssumeRoleError as error:
        return Profile(settings, problem=error)
    role = RoleRequest.of_profile(settings.in_profile)
    if settings.role_arn:
        role = RoleRequest(settings.role_arn, settings.external_id, settings.session_name)
    is_overridden = not settings.role_arn and bool(role.role_arn) and own.method == "env"
    caller = caller_problem = session = session_problem = None
    is_cached = False
    try:
        # The caller of --role-arn is what the profile leads to, a role of its own included.
        caller = identify(settings.profile, {} if settings.role_arn or is_overridden else settings.in_profile)
        sts_date = caller.date
    except AssumeRoleError as error:
        caller_problem = error
        response = getattr(error.__cause__, "response", {})
        sts_date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    if caller and settings.role_arn and not role.session_name:
        role = RoleRequest(role.role_arn, role.external_id, caller.own_session_name)
    if not caller_problem or "web_identity_token_file" in settings.in_profile:
        try:
            session = credentials.get_frozen_credentials()
            is_cached = cache.age(session.access_key) == float("inf")
        except AssumeRoleError as error:
            session_problem = error
    return Profile(
        settings=settings,
        role=role,
        is_overridden=is_overridden,
        caller=caller,
        caller_problem=caller_problem,
        sts_date=sts_date,
        session=session,
        session_problem=session_problem,
        is_cached=is_cached,
        region=own.region,
        ca_bundle=own.ca_bundle,
    )


def inspect_endpoint(settings: ApiSettings, own_region: str) -> Endpoint:
    """Find out where the call goes."""
    try:
        url = settings.parse_url()
    except SettingsError as error:
        return Endpoint(url_problem=error)
    region = url_region = ""
    region_problem = None
    try:
        region = settings.find_region(own_region)
        url_region = find_api_region(url, "", region)
    except SettingsError as error:
        region_problem = error
    addresses: tuple[str, ...] = ()
    dns_problem = proxy = ""
    host = urlsplit(url)
    if found := find_proxy(url):
        try:
            proxy = urlsplit(found).hostname or "of HTTPS_PROXY"
        except ValueError:  # `send_unsigned` reports it
            proxy = "of HTTPS_PROXY"
    else:
        try:
            infos = socket.getaddrinfo(host.hostname, host.port or host.scheme, type=socket.SOCK_STREAM)
            addresses = tuple(sorted({str(address[0]) for *_, address in infos}))
        except (OSError, UnicodeError) as error:
            dns_problem = getattr(error, "strerror", None) or str(error)
    return Endpoint(url, None, region, region_problem, url_region, addresses, proxy, dns_problem)


def send_unsigned(profile: Profile, endpoint: Endpoint, call: Call) -> Unsigned:
    """Send a request without a signature."""
    try:
        transport = Connections(endpoint.url, 1, profile.ca_bundle)
        http = transport.send(Request(call.method, endpoint.url + call.target), _PROBE_TIMEOUT)
    except (ConnectionFailedError, SettingsError) as error:
        return Unsigned(problem=error)
    except CallError as error:
        return Unsigned(response=error)
    is_http_api = "apigw-requestid" in http.headers
    try:
        return Unsigned(response=read_response(http), is_http_api=is_http_api)
    except CallError as error:
        return Unsigned(response=error, is_http_api=is_http_api)


def send_signed(profile: Profile, endpoint: Endpoint, call: Call) -> Signed | None:
    """Send a signed request; with a new session as well, if the API refuses the one from the cache."""
    if not (profile.session and profile.settings and endpoint.region):
        return None
    start = monotonic()
    response = _send(profile.session, profile, endpoint, call)
    seconds = monotonic() - start
    if not (profile.is_cached and isinstance(response, ForbiddenError)):
        return Signed(response, seconds)
    try:
        # Neither from the cache nor put there: what call-api does next is not changed.
        fresh = ProfileCredentials(profile.settings.profile, cache=SessionCache(shared=False)).get_frozen_credentials()
    except AssumeRoleError as error:
        return Signed(response, seconds, renewal_problem=error)
    retried = _send(fresh, profile, endpoint, call)
    if isinstance(retried, ForbiddenError):
        return Signed(response, seconds)
    return Signed(retried, seconds, cached=response)


def _send(session: ReadOnlyCredentials, profile: Profile, endpoint: Endpoint, call: Call) -> Response | CallError:
    transport = Connections(endpoint.url, 1, profile.ca_bundle)
    client = Client(endpoint.url, region=endpoint.region, credentials=_Session(session), transport=transport)
    try:
        return client.send(call, deadline=monotonic() + _CALL_SECONDS)
    except CallError as error:
        return error.__cause__ if isinstance(error.__cause__, CallError) else error
