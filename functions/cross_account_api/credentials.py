"""Credentials to sign with: a session of the executor role, or whatever an AWS profile gives."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, ConfigParseError, NoCredentialsError
from botocore.loaders import create_loader
from botocore.utils import JSONFileCache, parse_timestamp

from cross_account_api.errors import AssumeRoleError
from cross_account_api.redaction import describe_fault, find_fault, redact
from cross_account_api.timing import Clock, Timing


class Credentials(Protocol):
    """Where the credentials for signing come from."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return credentials that no refresh changes while a request is signed with them, or raise AssumeRoleError."""

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Discard credentials that the API rejected, and return whether others are worth a try.

        Expired are those that the API named as the reason. It rejects a revoked session like a missing permission, and
        only a new session tells them apart.
        """


_EARLY = 15 * 60 + 1
"""botocore renews a session 15 minutes before it expires; a second more, so that no look at the clock is too late."""

_NAMES = {
    "access_key": (("AWS_ACCESS_KEY_ID",), "aws_access_key_id", "the access key id"),
    "secret_key": (("AWS_SECRET_ACCESS_KEY",), "aws_secret_access_key", "the secret access key"),
    "token": (("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"), "aws_session_token", "the session token"),
}
"""By part of the credentials: its environment variables, its setting in a profile, and what else a message calls it."""


class AssumedRoleCredentials:
    """A session of a role, shared by all threads and refreshed by botocore 15 minutes before it expires.

    A process that was forked keeps the session, but not the connections to STS.

    Arguments as for `Client`. Without `session_name`, it takes a request to STS to name the session after its caller.

    See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """

    def __init__(
        self,
        role_arn: str,
        *,
        external_id: str | None = None,
        session_name: str | None = None,
        profile: str | None = None,
        timing: Timing | None = None,
        clock: Clock = time,
    ) -> None:
        self._timing = timing or Timing()
        self._clock = clock
        options = {"ExternalId": external_id, "RoleSessionName": session_name}
        self._request: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        # An hour is the longest session that AWS allows when one role assumes another.
        self._request |= {"RoleArn": role_arn, "DurationSeconds": 3600}
        self._config = Config(
            connect_timeout=self._timing.sts_connect,
            read_timeout=self._timing.sts_read,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        self._profile = profile
        self._connect()
        self._session: RefreshableCredentials = self._new_session()
        self._pid = os.getpid()
        self._metadata: dict[str, Any] = {}
        self._token: str | None = None
        self._issued = 0.0
        self._failure: AssumeRoleError | None = None
        self._failed = 0.0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the session's credentials; the first call, and one near their end, asks STS."""
        self._leave_parent()
        return require_well_formed(self._session.get_frozen_credentials(), self._request["RoleArn"])

    def are_at_hand(self) -> bool:
        """Whether `get_frozen_credentials` would ask nobody."""
        return self._pid == os.getpid() and not self._session.refresh_needed(_EARLY)

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Discard a session that the API rejected.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
        """
        self._leave_parent()
        with self._lock:
            if refused.token != self._token:
                return True
            if not expired and self._clock.time() - self._issued < self._timing.session_trusted:
                return False
            self._session = self._new_session()
            self._token = None
            return True

    def _connect(self) -> None:
        with assume_role_errors(self._request["RoleArn"]):
            session = open_session(self._profile)
            self.ca_bundle: str = session.get_config_variable("ca_bundle") or ""
            self._sts: Any = session.create_client("sts", config=self._config)
        self._lock = threading.Lock()

    def _leave_parent(self) -> None:
        """After a fork, share neither connections nor locks with the parent: a thread of it may have held one."""
        if self._pid != os.getpid():
            self._inherited = self._sts, self._session  # kept, since closing a connection would end the parent's
            self._connect()
            self._session = self._new_session()
            if self._token:
                options = self._metadata | {"expiry_time": parse_timestamp(self._metadata["expiry_time"])}
                self._session = RefreshableCredentials(
                    **options, refresh_using=self._assume_role, method="sts-assume-role", time_fetcher=_utc_now
                )
            self._pid = os.getpid()

    def _new_session(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._assume_role, "sts-assume-role", _utc_now)

    def _assume_role(self) -> dict[str, Any]:
        """Ask STS; botocore calls this, one thread at a time."""
        if self._failure and self._clock.time() - self._failed < self._timing.sts_failure_shared:
            raise AssumeRoleError(self._failure.role, self._failure.code, self._failure.detail)
        try:
            with assume_role_errors(self._request["RoleArn"]):
                if "RoleSessionName" not in self._request:
                    caller = self._sts.get_caller_identity()
                    self._request["RoleSessionName"] = default_session_name(caller["Account"], caller["Arn"])
                credentials = self._sts.assume_role(**self._request)["Credentials"]
        except AssumeRoleError as error:
            self._failure, self._failed = error, self._clock.time()
            raise
        self._token, self._issued = credentials["SessionToken"], self._clock.time()
        self._metadata = {
            "access_key": credentials["AccessKeyId"],
            "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"],
            "expiry_time": credentials["Expiration"].isoformat(),
        }
        return self._metadata


class ProfileCredentials:
    """What the AWS CLI would sign with for a profile; sessions are shared with it through its cache.

    Attributes:
        region: The profile's region; empty if it has none.
        ca_bundle: The profile's file of CA certificates; empty if it has none.
        method: How botocore found the credentials: `env`, `assume-role`, …

    See https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html
    """

    def __init__(
        self, profile: str | None = None, *, timing: Timing | None = None, cache: "SessionCache | None" = None
    ) -> None:
        self._profile = profile
        self._timing = timing or Timing()
        self._role = describe_profile(profile)
        self._source = ProfileSource()
        self._cache = SessionCache() if cache is None else cache
        with assume_role_errors(self._role):
            session = open_session(profile)
            self.region: str = session.get_config_variable("region") or ""
            self.ca_bundle: str = session.get_config_variable("ca_bundle") or ""
            self._source = find_source(session)
        with assume_role_errors(self._role, self._source):
            self._load(session)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the credentials; a profile with `role_arn` assumes its role, asking for an MFA code if it must."""
        with assume_role_errors(self._role, self._source):
            if self._pid != os.getpid():  # botocore's connections and locks are the parent's; the cache may be kept
                self._inherited = self._credentials
                self._load(open_session(self._profile))
            return require_well_formed(
                self._credentials.get_frozen_credentials(), self._role, self._source, self.method
            )

    def are_at_hand(self) -> bool:
        """Whether `get_frozen_credentials` would ask nobody."""
        is_old = getattr(self._credentials, "refresh_needed", None)
        return self._pid == os.getpid() and not (is_old and is_old(_EARLY))

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Drop a session of the profile's role from the cache, unless it is too new to have been revoked."""
        older_than = float("-inf") if expired else self._timing.session_trusted
        if not self._cache.drop(str(refused.access_key), older_than=older_than):
            return False
        with assume_role_errors(self._role, self._source):
            self._load(open_session(self._profile))
        return True

    def _load(self, session: botocore.session.Session) -> None:
        self._cache.source = self._source.name
        session.get_component("credential_provider").get_provider("assume-role").cache = self._cache
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        self._source.require_token(credentials.method)
        self._credentials, self.method, self._pid = credentials, credentials.method, os.getpid()
        if not isinstance(credentials, RefreshableCredentials):  # there is no need to ask anybody
            require_well_formed(credentials.get_frozen_credentials(), self._role, self._source, self.method)


class SessionCache:
    """The AWS CLI's cache of role sessions. It is a convenience: what cannot be read or written is left aside.

    Attributes:
        source: The profile whose credentials assume the role. Its name is written to the file as well: the AWS CLI has
            one file for each role and session name, whoever assumed the role.
    """

    _SOURCE = "SourceProfile"

    def __init__(self, clock: Clock = time, *, shared: bool = True) -> None:
        self._clock = clock
        self._sessions: dict[str, dict[str, Any]] = {}
        self._issued: dict[str, float | None] = {}  # by access key; None if another process did
        self._files: Any = {}
        self.source = ""
        if shared:
            with suppress(RuntimeError):  # there is no home directory
                self._files = JSONFileCache(str(Path("~/.aws/cli/cache").expanduser()))

    def __contains__(self, key: str) -> bool:
        """Whether there is a session, in memory or in a file: botocore asks before it takes one, and puts one."""
        if key not in self._sessions:
            with suppress(KeyError, OSError, TypeError, ValueError):
                session = self._files[key]
                parse_timestamp(session["Credentials"]["Expiration"])
                parts = [session["Credentials"][name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
                is_own = session.get(self._SOURCE, self.source) == self.source
                if is_own and all(isinstance(part, str) for part in parts):
                    self._sessions[key] = session
                    self._issued.setdefault(parts[0], None)
        return key in self._sessions

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._sessions[key]

    def __setitem__(self, key: str, session: dict[str, Any]) -> None:
        self._sessions[key] = session
        self._issued[session["Credentials"]["AccessKeyId"]] = self._clock.time()
        with suppress(OSError, ValueError):
            self._files[key] = {**session, self._SOURCE: self.source}

    def issued_elsewhere(self, access_key: str) -> bool:
        """Whether a session is here that another process asked for."""
        return self._issued.get(access_key, 0.0) is None

    def drop(self, access_key: str, *, older_than: float) -> bool:
        """Forget a session if it is here and of more seconds, or of another process; return whether that was so."""
        if access_key not in self._issued:
            return False
        issued = self._issued[access_key]
        if issued is not None and self._clock.time() - issued < older_than:
            return False
        del self._issued[access_key]
        for key, session in list(self._sessions.items()):
            if session["Credentials"]["AccessKeyId"] == access_key:
                del self._sessions[key]
                with suppress(KeyError, OSError):
                    del self._files[key]
        return True


@dataclass(frozen=True)
class ProfileSource:
    """The profile at the end of the `source_profile`s, where the first credentials come from."""

    name: str = ""
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)

    def require_token(self, method: str) -> None:
        """Raise if the first credentials are those of a session (their key begins with ASIA) without its token."""
        where = describe_profile(self.name)
        key, token = (self.settings.get(name) for name in ("aws_access_key_id", "aws_session_token"))
        if method == "env" or self.settings.get("credential_source") == "Environment":
            where = "the environment"
            key, token = (os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"))
            token = token or os.environ.get("AWS_SECURITY_TOKEN")
        if key and key.startswith("ASIA") and not token:
            shown = key if not describe_fault(key) else "the access key id"
            raise AssumeRoleError(where, "MissingSessionToken", f"{shown} is the key of a session")


def require_well_formed(
    credentials: ReadOnlyCredentials, role: str, source: ProfileSource | None = None, method: str = ""
) -> ReadOnlyCredentials:
    """Return credentials that can be sent, or raise AssumeRoleError, which names where the others are from."""
    if not (found := find_fault(credentials)):
        return credentials
    part, fault = found
    variables, setting, name = _NAMES[part]
    value, source = getattr(credentials, part), source or ProfileSource()
    if source.settings.get(setting) == value:
        name = f"{setting} of {describe_profile(source.name)}"
    elif "credential_process" in source.settings and method not in ("env", "assume-role"):
        name = f"{name} from the credential_process of {describe_profile(source.name)}"
    elif method:
        name = f"{name} ({method})"
    name = next((variable for variable in variables if value and os.environ.get(variable) == value), name)
    raise AssumeRoleError(role, "MalformedCredentials", f"{name} {fault}", profile=source.name)


def _utc_now() -> datetime:
    """Return the time; botocore's own clock looks up the local time zone for each signature."""
    return datetime.now(UTC)


def open_session(profile: str | None = None) -> botocore.session.Session:
    """Open a session for a profile; unlike botocore alone, it reads `AWS_REGION` as the AWS CLI does."""
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", _loader(os.environ.get("AWS_DATA_PATH")))
    if region := os.environ.get("AWS_REGION"):
        session.set_config_variable("region", region)
    session.register("before-sign", partial(_require_sendable, session))
    return session


def _require_sendable(
    session: botocore.session.Session, request: Any, request_signer: Any, signature_version: object, **_: object
) -> None:
    """Raise before botocore signs with credentials, or sends a header, that http.client would refuse and quote."""
    role, credentials = describe_profile(session.profile), getattr(request_signer, "_credentials", None)
    if credentials is not None and signature_version != UNSIGNED:
        require_well_formed(credentials.get_frozen_credentials(), role, find_source(session), credentials.method)
    for name, value in request.headers.items():
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise AssumeRoleError(
                role, "MalformedCredentials", f"what the header {name} is made of is not printable ASCII"
            )


@cache
def _loader(data_path: str | None) -> Any:
    """Return what reads botocore's descriptions of services, each once for all sessions of the process."""
    return create_loader(data_path)


def find_source(session: botocore.session.Session) -> ProfileSource:
    """Find where the first credentials of a session's profile come from."""
    profiles = session.full_config.get("profiles", {})
    name, seen = session.profile or "default", set()
    while name not in seen and (source := profiles.get(name, {}).get("source_profile")):
        seen.add(name)
        name = source
    return ProfileSource(name, profiles.get(name, {}))


def default_session_name(account: str, caller_arn: str) -> str:
    """Return `<account id>-<name>`: of an IAM user or an Identity Center person their own, of a workload its role's.

    The sessions of tasks and instances have random names, and account A's logs would not show what they belong to.
    """
    kind, *names = caller_arn.rpartition(":")[2].split("/")
    is_workload = kind == "assumed-role" and not names[0].startswith("AWSReservedSSO_")
    return f"{account}-{names[0] if is_workload else (names or [kind])[-1]}"[:64]


def describe_profile(profile: str | None) -> str:
    """Return what a message calls a profile; None is the one of `AWS_PROFILE`, or the default one."""
    profile = profile or os.environ.get("AWS_PROFILE")
    return f"profile {profile}" if profile else "the default AWS profile"


@contextmanager
def assume_role_errors(role: str, source: ProfileSource | None = None) -> Iterator[None]:
    """Raise `AssumeRoleError` for whatever keeps credentials of a role or profile from being found.

    Profiles, caches and credential programs make botocore raise far more than its own exceptions: OSError, ValueError,
    KeyError, TypeError, RuntimeError, EOFError at an MFA prompt.
    """
    source = source or ProfileSource()
    try:
        yield
    except AssumeRoleError:
        raise
    except Exception as error:
        code, detail = type(error).__name__, " ".join(str(error).split())
        if isinstance(error, ClientError):
            details = error.response.get("Error", {})
            code, detail = details.get("Code") or "Unknown", details.get("Message") or ""
        elif isinstance(error, ConfigParseError):
            detail = f"{error.kwargs['path']}{_line_number(error.kwargs.get('error'))} cannot be read"
        elif isinstance(error, AttributeError) and sys.stdin is None:
            code = "EOFError"  # getpass, without standard input
        elif "credential_process" in source.settings and not isinstance(error, BotoCoreError | EOFError):
            code = "CredentialProcessError"
        # A cause is shown with the traceback, and with it what it quotes.
        raise AssumeRoleError(role, code, detail, profile=source.name) from (None if _quotes_secret(error) else error)


def _quotes_secret(error: BaseException | None) -> bool:
    while error and redact(str(error)) == str(error):
        error = error.__cause__ or error.__context__
    return error is not None


def _line_number(error: object) -> str:
    """Return where configparser gave up; its message quotes the line, which may hold a secret."""
    lines = [number for number, _ in getattr(error, "errors", [])] or [getattr(error, "lineno", None)]
    return f", line {lines[0]}," if lines[0] else ""
