"""Settings from environment variables, checked once."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from cross_account_api import endpoint
from cross_account_api.errors import SettingsError


@dataclass(frozen=True)
class Settings:
    """What the function needs to know.

    Attributes:
        executor_role_arn: Account A's role that may call the API; empty to sign as the function itself.
        session_name: Name of the role session; its first 12 digits are this account's id.
        api_timeout: Seconds to wait for one response.
        failed_call_queue_url: Where calls go that no retry can help.
    """

    api_url: str
    api_region: str
    api_key: str = field(repr=False)
    executor_role_arn: str
    external_id: str = field(repr=False)
    session_name: str
    api_ignores_idempotency_keys: bool
    api_timeout: float
    failed_call_queue_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the variables that have the attributes' names in upper case; SettingsError if one is wrong."""
        api_url = endpoint.parse_api_url(environment.get("API_URL", ""), name="API_URL")
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", "")
        if api_key := environment.get("API_KEY", ""):
            endpoint.require_match(api_key, endpoint.API_KEY, "API_KEY", endpoint.API_KEY_FORM, secret=True)
        role_arn = environment.get("EXECUTOR_ROLE_ARN", "")
        external_id, session_name = environment.get("EXTERNAL_ID", ""), _short(environment.get("SESSION_NAME", ""))
        if role_arn:
            names = ("EXECUTOR_ROLE_ARN", "EXTERNAL_ID", "SESSION_NAME")
            endpoint.check_role(role_arn, external_id, session_name, names=names)
        return cls(
            api_url=api_url,
            api_region=endpoint.find_api_region(api_url, environment.get("API_REGION", ""), region, name="API_REGION"),
            api_key=api_key,
            executor_role_arn=role_arn,
            external_id=external_id,
            session_name=session_name,
            api_ignores_idempotency_keys=_flag(environment, "API_IGNORES_IDEMPOTENCY_KEYS"),
            api_timeout=_seconds(environment, "API_TIMEOUT"),
            failed_call_queue_url=environment.get("FAILED_CALL_QUEUE_URL", ""),
        )


def _short(session_name: str) -> str:
    """Cut a name at the 64 characters that STS allows; a hash at the end keeps it unique."""
    if len(session_name) <= 64:
        return session_name
    return f"{session_name[:51]}-{hashlib.sha256(session_name.encode()).hexdigest()[:12]}"


def _flag(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "") or "false"
    if value not in ("true", "false"):
        raise SettingsError(name, repr(value[:100]), "true or false")
    return value == "true"


def _seconds(environment: Mapping[str, str], name: str) -> float:
    value = environment.get(name, "") or "30"
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 900):
        raise SettingsError(name, repr(value[:100]), "a whole number of seconds from 1 to 900")
    return float(value)
