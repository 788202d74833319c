"""`call-api configure`: writes the AWS profile that assumes the executor role."""

import difflib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import click
from botocore.configloader import raw_config_parse
from botocore.exceptions import BotoCoreError

from call_api.aws import CREDENTIAL_SOURCES, Caller, identify
from call_api.config_file import edit_profile, read_file, write_file
from call_api.settings import RoleRequest, check_path, complete_profile, find_remedy, plain_settings
from cross_account_api import endpoint
from cross_account_api.call import Call
from cross_account_api.credentials import assume_role_errors, default_session_name, open_session
from cross_account_api.errors import AssumeRoleError, CallError, SettingsError

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
_QUESTIONS = {
    "role_arn": "Role ARN (account A's output ExecutorRoleArn)",
    "source_profile": "Profile with your own credentials",
    "external_id": "External id (account A's output ExternalId)",
    "role_session_name": "Session name (<account id>-<name>)",
    "mfa_serial": "ARN of your virtual (TOTP) MFA device (empty for none; passkeys and security keys give no codes)",
    "api_url": "API URL (account A's output ApiUrl)",
    "region": "Region of the API",
}
_PROFILE = re.compile(r"[\w.@:/+=,-]+(?: [\w.@:/+=,-]+)*", re.ASCII)
_MFA_SERIAL = re.compile(r"|[\w+=/:,.@-]{9,256}", re.ASCII)
_FORMS = {
    "profile": (_PROFILE, "letters, digits or _.@:/+=,- and single spaces"),
    "source_profile": (_PROFILE, "letters, digits or _.@:/+=,- and single spaces"),
    "role_arn": (endpoint.ROLE_ARN, endpoint.ROLE_ARN_FORM),
    "external_id": (endpoint.EXTERNAL_ID, endpoint.EXTERNAL_ID_FORM),
    "role_session_name": (endpoint.SESSION_NAME, endpoint.SESSION_NAME_FORM),
    "mfa_serial": (_MFA_SERIAL, "arn:aws:iam::<account id>:mfa/<device>, a serial number, or nothing"),
    "region": (endpoint.REGION, "a region such as eu-west-1"),
}


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
    _check("profile", profile)
    path, credentials_path, profiles = _read_configuration()
    if sso_session:
        given["source_profile"] = _find_sso_profile(profiles, sso_session, given["source_profile"])
    if credential_source and given["source_profile"]:
        raise click.UsageError("--credential-source excludes --source-profile and --sso-session.")
    old = profiles.get(profile, {})
    ask = partial(_ask, given, old, quiet=yes or only_print)

    role_arn = ask("role_arn")
    source = "" if given["source_profile"] else credential_source or old.get("credential_source", "")
    signs = {"source_profile": "" if source else ask("source_profile", "default"), "credential_source": source}
    external_id = ask("external_id")
    caller = _identify(profile, {"role_arn": role_arn, **signs}, old)
    default_name = default_session_name(caller.account, caller.arn) if caller and not caller.is_root else ""
    account = (caller.account if caller else "[0-9]{12}") if RoleRequest(role_arn).is_ours else ""
    session_name = ask("role_session_name", default_name, account=account)
    has_mfa = given["mfa_serial"] is not None or _may_be_user(caller, profiles.get(signs["source_profile"], {}))
    mfa_serial = ask("mfa_serial", may_be_empty=True) if has_mfa else ""
    api_url = ask("api_url")
    region = ask("region", _find_region(api_url))
    check_path(given["api_path"] or "")
    settings = {
        "role_arn": role_arn,
        **signs,
        "external_id": external_id,
        "role_session_name": session_name,
        "mfa_serial": mfa_serial,
        "api_url": api_url,
        "region": region,
        "api_path": _check("api_path", given["api_path"]) if given["api_path"] else old.get("api_path", ""),
        **({} if signs["source_profile"] == profile else dict.fromkeys(_RIVALS, "")),
    }
    if only_print:
        click.echo(edit_profile("", profile, settings), nl=False)
        return
    _warn_of_credentials_file(credentials_path, profile, settings)
    _change_file(path, profile, settings, yes=yes)


def _ask(
    given: Mapping[str, str | None],
    old: Mapping[str, str],
    name: str,
    default: str = "",
    *,
    quiet: bool,
    may_be_empty: bool = False,
    account: str = "",
) -> str:
    """Return what was given, else what the profile has or a person answers."""
    check, default = partial(_check, name, account=account), old.get(name, default)
    if (value := given[name]) is not None:
        return check(value)
    if not quiet:
        shown = default if default or may_be_empty else None
        question = _QUESTIONS[name]
        answer: str = click.prompt(question, default=shown, show_default=bool(shown), value_proc=check, err=True)
        return answer
    if not default and not may_be_empty:
        raise click.UsageError(f"Missing option '--{name.replace('_', '-')}'.")
    return check(default)


def _check(name: str, value: str, *, account: str = "") -> str:
    """Return a setting in the form in which it is written; `account` is a pattern that a session name begins with."""
    try:
        if name == "api_url":
            return endpoint.parse_api_url(value)
        if name == "api_path":
            return Call.parse({"path": value}).path
    except CallError as error:
        raise click.BadParameter(error.problem) from error
    pattern, allowed = _FORMS[name]
    if not pattern.fullmatch(value):
        raise click.BadParameter(f"{value[:100]!r} is not {allowed}.")
    if account and not re.match(f"{account}-.", value):
        shown = account if account.isdecimal() else "<account id>"
        raise click.BadParameter(f"{value!r} is not {shown}-<name>: account A's trust policy binds it.")
    return value


# --- What is known ----------------------------------------------------------------------------------------------------


def _read_configuration() -> tuple[Path, Path, dict[str, dict[str, str]]]:
    """Return where the configuration and credentials files are, and what the profiles say."""
    try:
        with assume_role_errors("the AWS configuration"):
            session = open_session()
            profiles = {name: plain_settings(found) for name, found in session.full_config.get("profiles", {}).items()}
    except AssumeRoleError as error:
        raise click.ClickException(f"{error.problem}\n{find_remedy(error)}") from error
    if os.environ.get("AWS_PROFILE") not in profiles:
        os.environ.pop("AWS_PROFILE", None)  # often the profile that is about to be written
    names = (session.get_config_variable(name) for name in ("config_file", "credentials_file"))
    try:
        path, credentials_path = (Path(os.path.expandvars(name)).expanduser() for name in names)
    except RuntimeError as error:
        raise click.ClickException("There is no home directory. Set HOME or AWS_CONFIG_FILE.") from error
    return path, credentials_path, profiles


def _find_sso_profile(profiles: Mapping[str, Mapping[str, str]], sso_session: str, source_profile: str | None) -> str:
    """Return the profile that signs in by an Identity Center session."""
    found = [name for name, settings in profiles.items() if settings.get("sso_session") == sso_session]
    if not found:
        raise click.UsageError(f"No profile has sso_session = {sso_session}; aws configure sso writes one.")
    chosen = source_profile or found[0]
    if chosen not in found or (len(found) > 1 and not source_profile):
        raise click.UsageError(f"Name one of the session's profiles with --source-profile: {', '.join(found)}.")
    return chosen


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


def _may_be_user(caller: Caller | None, in_source: Mapping[str, str]) -> bool:
    """Whether it may be an IAM user, who may have to give an MFA code."""
    return caller.is_user if caller else bool(in_source) and not any(name.startswith("sso_") for name in in_source)


def _find_region(api_url: str) -> str:
    with suppress(SettingsError):
        return endpoint.find_api_region(api_url, "", os.environ.get("AWS_REGION", ""))
    return ""


# --- What is done with it ---------------------------------------------------------------------------------------------


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
