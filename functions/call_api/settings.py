"""Where the API is and how to sign: from options, else environment variables, else the AWS profile."""

import difflib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import click
from botocore.exceptions import BotoCoreError
from click.shell_completion import CompletionItem

from cross_account_api import endpoint
from cross_account_api.advice import Advice
from cross_account_api.credentials import (
    AssumedRoleCredentials,
    Credentials,
    ProfileCredentials,
    assume_role_errors,
    describe_profile,
    open_session,
)
from cross_account_api.errors import AssumeRoleError, CallError, DeadlineError, SettingsError
from cross_account_caller.words import TEMPLATES

WORDS = TEMPLATES | {
    Advice.NO_CREDENTIALS: (
        "Account B: set AWS_PROFILE, or give credentials in another way; call-api configure writes a profile."
    ),
    Advice.NO_PROFILE: "Account B: name a profile of your AWS configuration; call-api configure writes one.",
    Advice.SLOW: (
        "Account B: if the API needs longer, allow it with --timeout. "
        "Account A: check that the API exists, and what takes it so long."
    ),
}
_FIXES = {
    "--api-url": "Set --api-url or $API_URL, or write a profile with call-api configure.",
    "--region": "Set --region or $API_REGION, or api_region in the profile.",
    "--service": "Set --service or $API_SERVICE, or api_service in the profile.",
    "--role-arn": "Set --role-arn or $EXECUTOR_ROLE_ARN, or write a profile with call-api configure.",
    "--external-id": "Set --external-id or $EXTERNAL_ID.",
    "--session-name": "Set --session-name or $SESSION_NAME.",
    "AWS_CA_BUNDLE": "Correct $AWS_CA_BUNDLE, or ca_bundle in the profile.",
    "HTTPS_PROXY": "Correct $HTTPS_PROXY; user and password must be percent-encoded ASCII.",
}


_WINDOWS_PATH = re.compile(r"[A-Za-z]:[/\\]")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")


def check_path(path: str) -> None:
    """Refuse a path that a shell has replaced, and note one that looks encoded."""
    if _WINDOWS_PATH.match(path):
        raise click.UsageError(
            f"The path is {path!r}: Git Bash makes a Windows path of what begins with a slash. Set MSYS_NO_PATHCONV=1."
        )
    if escape := _ESCAPE.search(path):
        click.echo(f"Note: a path is plain text, so {escape[0]} is sent as %25{escape[0][1:]}.", err=True)


def complete_profile(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the profiles that a shell may complete a word to."""
    try:
        profiles = open_session().available_profiles
    except (BotoCoreError, OSError):
        return []
    return [CompletionItem(profile) for profile in profiles if profile.startswith(incomplete)]


def api_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `ApiSettings.resolve` reads."""
    setting = partial(click.option, show_envvar=True, default="")
    options = (
        setting("--api-url", envvar="API_URL", help="Account A's output ApiUrl."),
        setting("--region", envvar="API_REGION", help="The API's region, if not in its URL."),
        setting("--service", envvar="API_SERVICE", help="The service to sign for; execute-api by default."),
        click.option(
            "--profile", shell_complete=complete_profile, help="AWS profile to sign with; by default the default chain."
        ),
        setting("--role-arn", envvar="EXECUTOR_ROLE_ARN", help="Assume this role, without a profile that names it."),
        setting("--external-id", envvar="EXTERNAL_ID", help="External id of --role-arn."),
        setting(
            "--session-name",
            envvar="SESSION_NAME",
            help="Session name of --role-arn; by default <account id>-<name> of the caller.",
        ),
        # No environment variable: API_KEY is the name of too many other services' secrets.
        click.option("--api-key", default="", help="API key, if account A meters; else api_key of the profile."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class RoleRequest:
    """What is asked of STS; empty without a role."""

    role_arn: str
    external_id: str = field(default="", repr=False)
    session_name: str = ""
    mfa_serial: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the role looks like one of this project's templates, which bind the session name."""
        return "ExecutorRole" in self.role_arn


@dataclass(frozen=True)
class ApiSettings:
    """How to reach an API; what nothing gives is empty."""

    profile: str | None  # None for the default chain
    in_profile: Mapping[str, str] = field(repr=False)
    role: RoleRequest
    is_own_role: bool  # the profile's own, which botocore assumes
    api_url: str
    region: str
    service: str
    api_key: str = field(repr=False)

    @classmethod
    def resolve(cls, profile: str | None, *, role_arn: str, external_id: str, session_name: str, **given: str) -> Self:
        """Read the profile for what neither options nor environment variables give.

        Raises AssumeRoleError if the profile cannot be read, and SettingsError if an option is malformed.
        """
        with assume_role_errors(describe_profile(profile)):
            in_profile = plain_settings(open_session(profile).get_scoped_config())
        names = ("role_arn", "external_id", "role_session_name", "mfa_serial")
        role = RoleRequest(*(in_profile.get(name, "") for name in names))
        is_own_role = role_arn in ("", role.role_arn)
        if not is_own_role:
            options = ("--role-arn", "--external-id", "--session-name")
            endpoint.check_role(role_arn, external_id or None, session_name or None, names=options)
            role = RoleRequest(role_arn, external_id, session_name)
        settings = {
            name: value or in_profile.get(f"api_{name.removeprefix('api_')}", "") for name, value in given.items()
        }
        settings["service"] = settings["service"] or "execute-api"
        return cls(profile, in_profile, role, is_own_role, **settings)

    def parse_url(self) -> str:
        """Return the API's URL in canonical form, or raise SettingsError for it or for the service."""
        api_url = endpoint.parse_api_url(self.api_url, name="--api-url")
        endpoint.require_service(self.service, api_url, name="--service")
        return api_url

    def find_region(self, default: str) -> str:
        """Return the region to sign for, or raise SettingsError."""
        name, service = "--region", self.service
        return endpoint.find_api_region(self.parse_url(), self.region, default, name=name, service=service)

    def find_region_of_url(self) -> str:
        """Return the region in the API's host name; empty if it names none."""
        with suppress(SettingsError):
            return endpoint.find_api_region(self.parse_url(), "", "", service=self.service)
        return ""

    def find_credentials(self, own: ProfileCredentials) -> Credentials:
        """Return what signs: what the profile gives, or a session of another role."""
        if self.is_own_role:
            return own
        return AssumedRoleCredentials(
            self.role.role_arn,
            external_id=self.role.external_id or None,
            session_name=self.role.session_name or None,
            profile=self.profile,
        )


def plain_settings(profile: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a profile that are text; botocore makes a nested block a dictionary."""
    return {name: value for name, value in profile.items() if isinstance(value, str)}


def find_remedy(error: CallError) -> str:
    """Return what a person can do about an error."""
    error.reword(WORDS)
    match error:
        case SettingsError(setting=setting) if setting in _FIXES:
            return _FIXES[setting]
        case DeadlineError(__cause__=CallError() as last):
            return f"Give it more time with --timeout. Last failure: {last.problem} {find_remedy(last)}"
        case DeadlineError():
            return "Give it more time with --timeout."
        case AssumeRoleError(code="ProfileNotFound", detail=detail):
            name = detail.partition("(")[2].partition(")")[0]
            with suppress(BotoCoreError, OSError):
                if like := difflib.get_close_matches(name, open_session().available_profiles, 1):
                    return f"{error.remedy} Did you mean {like[0]}?"
    return error.remedy
