"""What `call-api doctor` finds out before it judges. Nothing is changed.

STS is asked who the caller is and for a session, and the API gets GET, once unsigned and once signed.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from urllib.parse import urlsplit

from botocore.credentials import ReadOnlyCredentials

from call_api.aws import Caller, identify
from call_api.settings import ApiSettings, RoleRequest
from cross_account_api import errors
from cross_account_api.call import Call
from cross_account_api.client import Client
from cross_account_api.credentials import ProfileCredentials, SessionCache, default_session_name
from cross_account_api.response import Response, read_response
from cross_account_api.transport import Connections, Request, Timeout, find_proxy

_PROBE_TIMEOUT = Timeout(connect=10.0, read=10.0, total=20.0)
_CALL_SECONDS = 20.0


@dataclass
class Facts:
    """What `collect` has found out, from top to bottom; None or empty is what it could not."""

    settings: ApiSettings
    call: Call
    is_chosen: bool  # the path, by a person; else any response of the backend will do
    role: RoleRequest
    failures: dict[str, errors.CallError] = field(default_factory=dict)  # by the step that they belong to
    own: ProfileCredentials | None = None
    is_overridden: bool = False  # the profile's role, by credentials in the environment
    caller: Caller | None = None
    session: ReadOnlyCredentials | None = None
    is_cached: bool = False
    url: str = ""
    region: str = ""
    addresses: tuple[str, ...] | Exception | None = None  # of the API's host; none if a proxy looks them up
    unsigned: Response | errors.CallError | None = None
    is_http_api: bool = False
    signed: Response | errors.CallError | None = None
    seconds: float = 0.0
    refused: errors.ForbiddenError | None = None  # what the API said to a cached session, if it accepts a new one
    no_new_session: errors.CallError | None = None  # in place of a cached one that the API refuses


def collect(settings: ApiSettings, call: Call, *, is_chosen: bool) -> Facts:
    """Find out everything that can be found out without changing anything."""
    facts = Facts(settings, call, is_chosen, settings.role)
    _ask_sts(facts)
    with _noted(facts, "URL"):
        facts.url = settings.parse_url()
        with _noted(facts, "region"):
            facts.region = settings.find_region(facts.own.region if facts.own else "")
        facts.addresses = _resolve(facts.url)
        if isinstance(facts.addresses, tuple):
            _ask_api(facts)
    return facts


def is_api(unsigned: Response | errors.CallError, *, is_http_api: bool) -> bool:
    """Whether what responds to an unsigned request is an API; nothing else gets a session token."""
    match unsigned:
        case errors.ForbiddenError(code="ForbiddenException" | "WafAction"):
            return False
        case errors.NotFoundError():
            return is_http_api
    return isinstance(unsigned, Response | errors.ForbiddenError | errors.ThrottledError | errors.ServerError)


@contextmanager
def _noted(facts: Facts, step: str) -> Iterator[None]:
    try:
        yield
    except errors.CallError as error:
        facts.failures[step] = error


def _ask_sts(facts: Facts) -> None:
    settings, role, cache = facts.settings, facts.role, SessionCache()
    try:
        own = ProfileCredentials(settings.profile, cache=cache)
        credentials = settings.find_credentials(own)
    except errors.AssumeRoleError as error:
        lacks_credentials = error.code in ("NoCredentialsError", "MissingSessionToken")
        facts.failures["credentials" if lacks_credentials else "profile"] = error
        return
    facts.own = own
    facts.is_overridden = settings.is_own_role and bool(role.role_arn) and own.method == "env"
    # The caller of --role-arn is what the profile leads to, a role of its own included.
    of_profile = settings.in_profile if settings.is_own_role and not facts.is_overridden else {}
    if "web_identity_token_file" not in of_profile:  # which names its caller only by assuming the role
        with _noted(facts, "credentials"):
            facts.caller = identify(settings.profile, of_profile)
        if not facts.caller:
            return
        if not settings.is_own_role and not role.session_name:
            facts.role = replace(role, session_name=default_session_name(facts.caller.account, facts.caller.arn))
    with _noted(facts, "AssumeRole"):
        facts.session = credentials.get_frozen_credentials()
        facts.is_cached = cache.issued_elsewhere(str(facts.session.access_key))


def _resolve(url: str) -> tuple[str, ...] | Exception:
    if find_proxy(url):
        return ()
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return error
    return tuple(sorted({str(address[0]) for *_, address in found}))


def _ask_api(facts: Facts) -> None:
    settings, call = facts.settings, facts.call

    def send(session: ReadOnlyCredentials) -> Response | errors.CallError:
        try:
            client = Client(
                facts.url,
                region=facts.region,
                service=settings.service,
                api_key=settings.api_key or None,
                credentials=_Session(session),
                transport=transport,
            )
            return client.send(call, deadline=monotonic() + _CALL_SECONDS)
        except errors.CallError as error:
            return error.__cause__ if isinstance(error.__cause__, errors.CallError) else error

    with _noted(facts, "TLS"):
        transport = Connections(facts.url, 1, facts.own.ca_bundle if facts.own else "")
        http = transport.send(Request(call.method, facts.url + call.target), _PROBE_TIMEOUT)
        facts.is_http_api = "apigw-requestid" in http.headers
        try:
            facts.unsigned = read_response(http)
        except errors.CallError as error:
            facts.unsigned = error
    is_ready = facts.unsigned and is_api(facts.unsigned, is_http_api=facts.is_http_api)
    if not (facts.session and facts.region and is_ready):
        return
    start = monotonic()
    facts.signed = send(facts.session)
    facts.seconds = monotonic() - start
    if facts.is_cached and isinstance(facts.signed, errors.ForbiddenError):
        try:
            # Neither from the cache nor put there: what call-api does next is not changed.
            own = ProfileCredentials(settings.profile, cache=SessionCache(shared=False))
            response = send(own.get_frozen_credentials())
        except errors.AssumeRoleError as error:
            facts.no_new_session = error
        else:
            if not isinstance(response, errors.ForbiddenError):
                facts.refused, facts.signed = facts.signed, response
    if facts.is_http_api and isinstance(facts.unsigned, errors.NotFoundError):
        facts.signed = facts.unsigned if isinstance(facts.signed, errors.CallError) else facts.signed


@dataclass(frozen=True)
class _Session:
    """Credentials that are not replaced."""

    credentials: ReadOnlyCredentials

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.credentials

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        del refused, expired
        return False
