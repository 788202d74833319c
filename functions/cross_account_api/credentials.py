"""Temporary credentials: one session of the executor role for as long as the execution environment lives."""

import functools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.utils import JSONFileCache

from caller.settings import Settings
from cross_account_api.errors import AssumeRoleError

_SESSION_SECONDS = 3600
"""The most that AWS allows when one role assumes another."""

_STS_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
"""STS's own budget: it answers in milliseconds or is in trouble."""

_SHARED_FAILURE_SECONDS = 5.0
"""How long a failure answers for others: the threads that waited for it must not all ask again, one after another."""

_PROVEN_SECONDS = 60.0
"""A session older than this may have been revoked; a younger one would only be refused for the same reason again."""


_now = functools.partial(datetime.now, UTC)
"""Asked for with each call; botocore's own clock looks up the local time zone each time."""


class ExecutorCredentials:
    """One session of the executor role, shared by all threads and renewed by botocore 15 minutes before its end.

    Args:
        settings: Role, external id and session name.
        on_failure: Called with each failure of STS, also with that of an early renewal, which nobody else hears of.

    See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """

    def __init__(self, settings: Settings, on_failure: Callable[[AssumeRoleError], object] = lambda _: None) -> None:
        self._settings = settings
        self._on_failure = on_failure
        self._sts: Any = botocore.session.get_session().create_client("sts", config=_STS_CONFIG)
        self._lock = threading.Lock()
        self._session = self._new_session()
        self._token: str | None = None
        self._issued = 0.0
        self._failure: AssumeRoleError | None = None
        self._failed = 0.0

    def frozen(self) -> ReadOnlyCredentials:
        """Return the session's credentials as they are now; the first call, or one near their end, asks STS.

        Returns:
            Credentials that no renewal changes while a request is signed with them.

        Raises:
            AssumeRoleError: STS gives no session, and the last one is over or has less than 10 minutes left.
        """
        return self._session.get_frozen_credentials()

    def renew(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Leave a session that the API refused.

        IAM answers a revoked session like a missing permission. Only a new session tells them apart, so one is tried
        when the refused one has been good for a minute or more.

        Args:
            refused: The credentials that were refused.
            expired: Whether the API says that it was because of the session itself.

        Returns:
            Whether `frozen` now gives another session that is worth a try.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
        """
        with self._lock:
            if refused.token != self._token:
                return True
            if not expired and time.time() - self._issued < _PROVEN_SECONDS:
                return False
            self._session = self._new_session()
            self._token = None
            return True

    def _new_session(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._assume_role, "sts-assume-role", _now)

    def _assume_role(self) -> dict[str, Any]:
        if self._failure and time.time() - self._failed < _SHARED_FAILURE_SECONDS:
            raise self._failure.with_traceback(None)
        settings = self._settings
        try:
            answer = self._sts.assume_role(
                RoleArn=settings.executor_role_arn,
                RoleSessionName=settings.session_name,
                ExternalId=settings.external_id,
                DurationSeconds=_SESSION_SECONDS,
            )
        except (BotoCoreError, ClientError) as error:
            self._failure = assume_role_error(settings.executor_role_arn, error)
            self._failed = time.time()
            self._on_failure(self._failure)
            raise self._failure from error
        credentials = answer["Credentials"]
        self._token = credentials["SessionToken"]
        self._issued = time.time()
        return {
            "access_key": credentials["AccessKeyId"],
            "secret_key": credentials["SecretAccessKey"],
            "token": credentials["SessionToken"],
            "expiry_time": credentials["Expiration"].isoformat(),
        }


class ProfileCredentials:
    """Credentials of a person: what the AWS CLI would use, its cache of sessions included.

    Args:
        profile: A profile of the AWS configuration; None for the default chain.

    Attributes:
        region: The profile's region; empty if it has none.
        ca_bundle: The profile's file of CA certificates; empty if it has none.

    Raises:
        AssumeRoleError: The profile does not exist or gives no credentials.

    See https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html
    """

    def __init__(self, profile: str | None) -> None:
        self._source = describe_profile(profile)
        try:
            session = botocore.session.Session(profile=profile)
            chain = session.get_component("credential_provider")
            chain.get_provider("assume-role").cache = JSONFileCache(str(Path("~/.aws/cli/cache").expanduser()))
            credentials = session.get_credentials()
            self.region: str = session.get_config_variable("region") or ""
            self.ca_bundle: str = session.get_config_variable("ca_bundle") or ""
        except BotoCoreError as error:
            raise assume_role_error(self._source, error) from error
        if credentials is None:
            raise assume_role_error(self._source, NoCredentialsError())
        self._credentials = credentials

    def frozen(self) -> ReadOnlyCredentials:
        """Return the credentials; a profile with `role_arn` assumes its role, asking for an MFA code if it must.

        Raises:
            AssumeRoleError: STS gives no session.
        """
        try:
            return self._credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            raise assume_role_error(self._source, error) from error

    def renew(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        """Return False: a person starts the next session."""
        del refused, expired
        return False


def describe_profile(profile: str | None) -> str:
    """Return what a message calls a profile; None is the default one."""
    return f"profile {profile}" if profile else "the default AWS profile"


def assume_role_error(role: str, error: BotoCoreError | ClientError) -> AssumeRoleError:
    """Return the error for what STS said, or for what kept it from being asked.

    Args:
        role: The role, or the profile that names it.
        error: What botocore raised.
    """
    if isinstance(error, ClientError):
        details = error.response["Error"]
        return AssumeRoleError(role, details.get("Code") or "Unknown", details.get("Message") or "")
    return AssumeRoleError(role, type(error).__name__, str(error))
