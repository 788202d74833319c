"""Credentials to sign with: a session of the executor role, or whatever an AWS profile gives."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import botocore.session
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials, ReadOnlyCredentials
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.utils import JSONFileCache

from cross_account_api.errors import AssumeRoleError
from cross_account_api.timing import Clock, Timing

_SESSION_SECONDS = 3600
"""The longest session that AWS allows when one role assumes another."""


class Credentials(Protocol):
    """Where the credentials for signing come from."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return credentials that no refresh changes while a request is signed with them.

        Raises:
            AssumeRoleError: There are none.
        """

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Discard credentials that the API rejected, and return whether others are worth a try.

        Args:
            refused: The credentials.
            expired: Whether the API named them as the reason. It rejects a revoked session like a missing permission,
                and only a new session tells them apart.
        """


class AssumedRoleCredentials:
    """A session of a role, shared by all threads and refreshed by botocore 15 minutes before it expires.

    Args:
        role_arn: The role.
        external_id: The external id that its trust policy demands; None for none.
        session_name: Name of the session; None for `<account id>-<name>` of the caller, which costs a request to STS.
        profile: The AWS profile whose credentials assume the role; None for the default chain.
        timing: Limits for STS.
        clock: The `time` module, or a substitute.

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
        self._request = {"RoleArn": role_arn, "DurationSeconds": _SESSION_SECONDS}
        if external_id is not None:
            self._request["ExternalId"] = external_id
        if session_name is not None:
            self._request["RoleSessionName"] = session_name
        config = Config(
            connect_timeout=self._timing.sts_connect,
            read_timeout=self._timing.sts_read,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        with assume_role_errors(role_arn):
            self._sts: Any = botocore.session.Session(profile=profile).create_client("sts", config=config)
        self._lock = threading.Lock()
        self._session = self._new_session()
        self._token: str | None = None
        self._issued = 0.0
        self._failure: AssumeRoleError | None = None
        self._failed = 0.0

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the session's credentials; the first call, and one near their end, asks STS."""
        return self._session.get_frozen_credentials()

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Discard a session that the API rejected.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
        """
        with self._lock:
            if refused.token != self._token:
                return True
            if not expired and self._clock.time() - self._issued < self._timing.session_trusted:
                return False
            self._session = self._new_session()
            self._token = None
            return True

    def _new_session(self) -> DeferredRefreshableCredentials:
        # botocore's own clock looks up the local time zone for each signature.
        return DeferredRefreshableCredentials(self._assume_role, "sts-assume-role", lambda: datetime.now(UTC))

    def _assume_role(self) -> dict[str, Any]:
        """Ask STS; botocore calls this, one thread at a time."""
        if self._failure and self._clock.time() - self._failed < self._timing.sts_failure_shared:
            raise AssumeRoleError(self._failure.role, self._failure.code, self._failure.detail)
        try:
            with assume_role_errors(str(self._request["RoleArn"])):
                if "RoleSessionName" not in self._request:
                    self._request["RoleSessionName"] = self._own_session_name()
                credentials = self._sts.assume_role(**self._request)["Credentials"]
        except AssumeRoleError as error:
            self._failure, self._failed = error, self._clock.time()
            raise
        self._token, self._issued = credentials["SessionToken"], self._clock.time()
        return {
            "access_key": credentials["AccessKeyId"],
            "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"],
            "expiry_time": credentials["Expiration"].isoformat(),
        }

    def _own_session_name(self) -> str:
        identity = self._sts.get_caller_identity()
        return f"{identity['Account']}-{identity['Arn'].rpartition('/')[2]}"[:64]


class ProfileCredentials:
    """What the AWS CLI would sign with for a profile; sessions are shared with it through its cache.

    Args:
        profile: A profile of the AWS configuration; None for the default chain.
        timing: Limits.
        clock: The `time` module, or a substitute.

    Attributes:
        region: The profile's region; empty if it has none.
        ca_bundle: The profile's file of CA certificates; empty if it has none.

    Raises:
        AssumeRoleError: The profile does not exist or gives no credentials.

    See https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html
    """

    def __init__(self, profile: str | None = None, *, timing: Timing | None = None, clock: Clock = time) -> None:
        self._profile = profile
        self._timing = timing or Timing()
        self._clock = clock
        self._source = describe_profile(profile)
        self._cache = SessionCache(clock)
        with assume_role_errors(self._source):
            session = self._load()
            self.region: str = session.get_config_variable("region") or ""
            self.ca_bundle: str = session.get_config_variable("ca_bundle") or ""

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the credentials; a profile with `role_arn` assumes its role, asking for an MFA code if it must."""
        with assume_role_errors(self._source):
            frozen: ReadOnlyCredentials = self._credentials.get_frozen_credentials()
        return frozen

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Drop a session of the profile's role from the cache, unless it is too new to have been revoked."""
        age = self._cache.age(refused.access_key)
        if age is None or (not expired and age < self._timing.session_trusted):
            return False
        self._cache.drop(refused.access_key)
        with assume_role_errors(self._source):
            self._load()
        return True

    def _load(self) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._profile)
        session.get_component("credential_provider").get_provider("assume-role").cache = self._cache
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        self._credentials: Any = credentials
        return session


class SessionCache:
    """The AWS CLI's cache of role sessions. It is a convenience: what cannot be read or written is left aside."""

    def __init__(self, clock: Clock = time) -> None:
        self._clock = clock
        self._sessions: dict[str, dict[str, Any]] = {}
        self._issued: dict[str, float] = {}
        self._files: JSONFileCache | None = None
        with suppress(RuntimeError):  # there is no home directory
            self._files = JSONFileCache(str(Path("~/.aws/cli/cache").expanduser()))

    def __contains__(self, key: str) -> bool:
        if key not in self._sessions and self._files:
            with suppress(KeyError, OSError, ValueError):
                session = self._files[key]
                if isinstance(session, dict) and isinstance(session.get("Credentials"), dict):
                    self._sessions[key] = session
        return key in self._sessions

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._sessions[key]

    def __setitem__(self, key: str, session: dict[str, Any]) -> None:
        self._sessions[key] = session
        self._issued[session["Credentials"]["AccessKeyId"]] = self._clock.time()
        if self._files:
            with suppress(OSError, ValueError):
                self._files[key] = session

    def age(self, access_key: str | None) -> float | None:
        """Return the seconds since a session was issued, infinity if another process did; None if it is not here."""
        if not any(session["Credentials"].get("AccessKeyId") == access_key for session in self._sessions.values()):
            return None
        return self._clock.time() - self._issued.get(access_key or "", float("-inf"))

    def drop(self, access_key: str | None) -> None:
        """Forget a session."""
        for key, session in list(self._sessions.items()):
            if session["Credentials"].get("AccessKeyId") == access_key:
                del self._sessions[key]
                with suppress(KeyError, OSError):
                    if self._files:
                        del self._files[key]


def describe_profile(profile: str | None) -> str:
    """Return what a message calls a profile; None is the default one."""
    return f"profile {profile}" if profile else "the default AWS profile"


@contextmanager
def assume_role_errors(role: str) -> Iterator[None]:
    """Raise `AssumeRoleError` for whatever keeps credentials from being found.

    Profiles, caches and credential programs make botocore raise far more than its own exceptions: OSError, ValueError,
    KeyError, TypeError, RuntimeError, EOFError at an MFA prompt.

    Args:
        role: The role, or the profile that names it.
    """
    try:
        yield
    except AssumeRoleError:
        raise
    except ClientError as error:
        details = error.response.get("Error", {})
        raise AssumeRoleError(role, details.get("Code") or "Unknown", details.get("Message") or "") from error
    except Exception as error:
        raise AssumeRoleError(role, type(error).__name__, str(error)) from error
