"""`call-api configure`: writes the AWS profile that assumes the executor role."""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
from botocore.configloader import raw_config_parse
from botocore.exceptions import BotoCoreError

from call_api.aws import CREDENTIAL_SOURCES, Caller, identify
from call_api.config_file import edit_profile, read_file, write_file
from call_api.settings import check_path, complete_profile, find_remedy, plain_settings
from cross_account_api.call import Call
from cross_account_api.credentials import assume_role_errors, default_session_name, open_session
from cross_account_api.endpoint import (
    EXTERNAL_ID,
    EXTERNAL_ID_FORM,
    REGION,
    ROLE_ARN,
    ROLE_ARN_FORM,
    SESSION_NAME,
    SESSION_NAME_FORM,
    find_api_region,
    parse_api_url,
)
from cross_account_api.errors import AssumeRoleError, CallError, SettingsError

_PROFILE = re.compile(r"[\w.@:/+=,-]+(?: [\w.@:/+=,-]+)*", re.ASCII)
_PROFILE_FORM = "letters, digits or _.@:/+=,- and single spaces"
_MFA_SERIAL = re.compile(r"|[\w+=/:,.@-]{9,256}", re.ASCII)
_MFA_FORM = "arn:aws:iam::<account id>:mfa/<device>, a serial number, or nothing"
_SECRET = re.compile(
    r"(.\s*(?:aws_access_key_id|aws_secret_access_key|aws_session_token|aws_security_token)\s*[=:]\s*).+", re.IGNORECASE
)
_RIVALS = (
    "web_identity_token_file",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "sso_role_name",
)
"""Other ways to credentials; a profile with one of these beside its role means something else, or misleads."""


@click.command
@click.option("--profile", default="orders", show_default=True, shell_complete=complete_profile, help="The profile.")
@click.option("--role-arn", help="Account A's output ExecutorRoleArn.")
@click.option("--external-id", help="Account A's output ExternalId.")
@click.option("--api-url", help="Account A's output ApiUrl.")
@click.option("--source-profile", shell_complete=complete_profile, help="The profile with your own credentials.")
@click.option("--sso-session", help="IAM Identity Center session; the profile that uses it has your own credentials.")
@click.option("--credential-source", type=click.Choice([*CREDENTIAL_SOURCES]), help="Where a machine has credentials.")
@click.option("--role-session-name", help="<account id>-<name>; by default from your own credentials.")
@click.option("--mfa-serial", help="ARN of an IAM user's virtual (TOTP) MFA device; empty for none.")
@click.option("--region", help="The API's region.")
@click.option("--api-path", help="A path that the role may GET, for call-api doctor.")
@click.option("--print", "only_print", is_flag=True, help="Show the profile and change no file.")
@click.option("--yes", is_flag=True, help="Ask nothing: take what is known, and fail if something is missing.")
def configure(
    *,
    profile: str,
    sso_session: str | None,
    credential_source: str | None,
    only_print: bool,
    yes: bool,
    **given: str | None,
) -> None:
    """Write the AWS profile that call-api, aws and awscurl share.

    Asks for what is not given. Everything else in the configuration file stays as it is, and a copy of it is kept.
    """
    _match(_PROFILE, _PROFILE_FORM, profile)
    try:
        with assume_role_errors("the AWS configuration"):
            session = open_session()
            profiles = {name: plain_settings(found) for name, found in session.full_config.get("profiles", {}).items()}
    except AssumeRoleError as error:
        raise click.ClickException(f"{error.problem}\n{find_remedy(error)}") from error
    path = _home_file(session.get_config_variable("config_file"))
    credentials_path = _home_file(session.get_config_variable("credentials_file"))
    if os.environ.get("AWS_PROFILE") not in profiles:
        os.environ.pop("AWS_PROFILE", None)  # often the profile that is about to be written
    old = profiles.get(profile, {})
    ask = partial(_ask, given, old, quiet=yes or only_print)
    role_arn = ask(
        "role_arn", "Role ARN (account A's output ExecutorRoleArn)", partial(_match, ROLE_ARN, ROLE_ARN_FORM)
    )
    settings = {"role_arn": role_arn, "source_profile": "", "credential_source": ""}
    if sso_session:
        given["source_profile"] = _find_sso_profile(profiles, sso_session, given["source_profile"])
    if credential_source and given["source_profile"]:
        raise click.UsageError("--credential-source excludes --source-profile and --sso-session.")
    if not given["source_profile"] and (credential_source := credential_source or old.get("credential_source")):
        settings["credential_source"] = credential_source
    else:
        question = "Profile with your own credentials"
        settings["source_profile"] = ask(
            "source_profile", question, partial(_match, _PROFILE, _PROFILE_FORM), "default"
        )
    question = "External id (account A's output ExternalId)"
    settings["external_id"] = ask("external_id", question, partial(_match, EXTERNAL_ID, EXTERNAL_ID_FORM))
    caller = _identify(profile, settings, old)
    settings["role_session_name"] = ask(
        "role_session_name",
        "Session name (<account id>-<name>)",
        partial(_match_session_name, caller, "ExecutorRole" in role_arn),
        default_session_name(caller.account, caller.arn) if caller and not caller.is_root else "",
    )
    in_source = profiles.get(settings["source_profile"], {})
    may_be_user = caller.is_user if caller else in_source and not any(name.startswith("sso_") for name in in_source)
    settings["mfa_serial"] = ""
    if given["mfa_serial"] is not None or may_be_user:
        question = "ARN of your virtual (TOTP) MFA device (empty for none; passkeys and security keys give no codes)"
        settings["mfa_serial"] = ask("mfa_serial", question, partial(_match, _MFA_SERIAL, _MFA_FORM), may_be_empty=True)
    settings["api_url"] = ask("api_url", "API URL (account A's output ApiUrl)", partial(_parse, parse_api_url))
    region = ""
    with suppress(SettingsError):
        region = find_api_region(settings["api_url"], "", os.environ.get("AWS_REGION", ""))
    settings["region"] = ask(
        "region", "Region of the API", partial(_match, REGION, "a region such as eu-west-1"), region
    )
    settings["api_path"] = old.get("api_path", "")
    if given["api_path"]:
        check_path(given["api_path"])
        settings["api_path"] = _parse(lambda path: Call.parse({"path": path}).path, given["api_path"])
    if settings["source_profile"] != profile:
        settings |= dict.fromkeys(_RIVALS, "")

    if only_print:
        click.echo(edit_profile("", profile, settings), nl=False)
        return
    _warn_of_credentials_file(credentials_path, profile, settings)
    _change_file(path, profile, settings, yes=yes)


def _ask(
    given: Mapping[str, str | None],
    old: Mapping[str, str],
    name: str,
    question: str,
    check: Callable[[str], str],
    default: str = "",
    *,
    quiet: bool,
    may_be_empty: bool = False,
) -> str:
    """Return what was given, else what the profile has or a person answers."""
    if (value := given[name]) is not None:
        return check(value)
    default = old.get(name, default)
    if not quiet:
        shown = default if default or may_be_empty else None
        answer: str = click.prompt(question, default=shown, show_default=bool(shown), value_proc=check, err=True)
        return answer
    if not default and not may_be_empty:
        raise click.UsageError(f"Missing option '--{name.replace('_', '-')}'.")
    return check(default)


def _match(pattern: re.Pattern[str], allowed: str, value: str) -> str:
    if not pattern.fullmatch(value):
        raise click.BadParameter(f"{value[:100]!r} is not {allowed}.")
    return value


def _parse(parse: Callable[[str], str], value: str) -> str:
    try:
        return parse(value)
    except CallError as error:
        raise click.BadParameter(error.problem) from error


def _match_session_name(caller: Caller | None, is_ours: bool, value: str) -> str:
    account = caller.account if caller else "<account id>"
    start = f"{account}-." if caller else "[0-9]{12}-."
    _match(SESSION_NAME, SESSION_NAME_FORM, value)
    if is_ours and not re.match(start, value):
        raise click.BadParameter(f"{value!r} is not {account}-<name>: account A's trust policy binds it.")
    return value


def _find_sso_profile(profiles: Mapping[str, Mapping[str, str]], sso_session: str, source_profile: str | None) -> str:
    """Return the profile that signs in by an Identity Center session."""
    found = [name for name, settings in profiles.items() if settings.get("sso_session") == sso_session]
    if source_profile in found:
        return source_profile or ""
    if len(found) == 1 and not source_profile:
        return found[0]
    if found:
        raise click.UsageError(f"Name one of the session's profiles with --source-profile: {', '.join(found)}.")
    raise click.UsageError(f"No profile has sso_session = {sso_session}; aws configure sso writes one.")


def _identify(profile: str, settings: Mapping[str, str], old: Mapping[str, str]) -> Caller | None:
    """Find out whose credentials assume the role, if that can be done now."""
    source = settings["source_profile"]
    try:
        if source == profile:
            return identify(profile, {**old, **settings})
        return identify(source or None, {} if source else settings)
    except AssumeRoleError as error:
        click.echo(f"Warning: the caller could not be identified. {error.problem}\n{find_remedy(error)}", err=True)
        return None


def _home_file(name: str) -> Path:
    try:
        return Path(os.path.expandvars(name)).expanduser()
    except RuntimeError as error:
        raise click.ClickException("There is no home directory. Set HOME or AWS_CONFIG_FILE.") from error


def _warn_of_credentials_file(path: Path, profile: str, settings: Mapping[str, str]) -> None:
    """Warn of settings in the credentials file, which come before those in the configuration file."""
    own: Mapping[str, str] = {}
    with suppress(BotoCoreError):  # there is none; one that cannot be read was reported before
        own = raw_config_parse(str(path)).get(profile, {})
    if names := [name for name, value in settings.items() if own.get(name, value) != value]:
        click.echo(f"Warning: [{profile}] in {path} overrides {', '.join(names)}. Remove it there.", err=True)


def _change_file(path: Path, profile: str, settings: Mapping[str, str], *, yes: bool) -> None:
    try:
        before = read_file(path)
    except OSError as error:
        raise click.ClickException(f"Cannot read {path}: {error.strerror}.") from error
    after = edit_profile(before, profile, settings)
    if before == after:
        click.echo(f"{path} says so already.")
        return
    old, new = (text.splitlines() for text in (before, after))
    for line in difflib.unified_diff(old, new, str(path), str(path), lineterm=""):
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[0])
        click.secho(_SECRET.sub(r"\1(not shown)", line), fg=colour)
    if not yes:
        click.confirm(f"Change {path}?", abort=True, err=True)
    try:
        backup = write_file(path, after)
    except OSError as error:
        raise click.ClickException(f"Cannot write {error.filename or path}: {error.strerror}.") from error
    argument = f'"{profile}"' if " " in profile else profile
    click.echo(f"Wrote {path}{f', kept {backup}' if backup else ''}. Next: call-api doctor --profile {argument}")
