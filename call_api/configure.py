"""`call-api configure`: the AWS profile by which an IAM user comes into the executor role."""

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import click
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from call_api.config_file import edit_profile, read_file, write_file
from call_api.profile import complete_profile
from caller.settings import EXTERNAL_ID, REGION, ROLE_ARN, SESSION_NAME, find_api_region, parse_api_url
from cross_account_api.errors import SettingsError

_PROFILE = re.compile(r"[\w.@:/+=,-]+", re.ASCII)
_MFA_SERIAL = re.compile(r"|[\w+=/:,.@-]{9,256}", re.ASCII)
_STS_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}

type _Check = Callable[[str], str]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", default="orders", show_default=True, shell_complete=complete_profile, help="The profile.")
@click.option("--role-arn", help="Account A's stack output ExecutorRoleArn.")
@click.option("--external-id", help="Account A's stack output ExternalId.")
@click.option("--api-url", help="Account A's stack output ApiUrl.")
@click.option("--source-profile", shell_complete=complete_profile, help="The profile with your own credentials.")
@click.option("--role-session-name", help="<account id>-<user>, unless given.")
@click.option("--mfa-serial", help="ARN of your MFA device; empty if account A asks for none.")
@click.option("--region", help="The API's region.")
@click.option("--print", "only_print", is_flag=True, help="Show the profile and change no file.")
@click.option("--yes", is_flag=True, help="Do not ask before the file is changed.")
def configure(
    *,
    profile: str,
    role_arn: str | None,
    external_id: str | None,
    api_url: str | None,
    source_profile: str | None,
    role_session_name: str | None,
    mfa_serial: str | None,
    region: str | None,
    only_print: bool,
    yes: bool,
) -> None:
    """Write the AWS profile that call-api, aws and awscurl share.

    Asks for what is not given. Everything else in the configuration file stays as it is, and a copy of it is kept.
    """
    try:
        session = botocore.session.Session()
        profiles: Mapping[str, Mapping[str, str]] = session.full_config.get("profiles", {})
        path = Path(session.get_config_variable("config_file")).expanduser()
    except BotoCoreError as error:
        raise click.ClickException(f"{error} Account B: mend the AWS configuration first.") from error
    profile = _matches(_PROFILE, "letters, digits or _.@:/+=,-")(profile)
    old = profiles.get(profile, {})

    settings = {
        "role_arn": _ask(
            "Role ARN (account A's output ExecutorRoleArn)",
            role_arn,
            old.get("role_arn"),
            _matches(ROLE_ARN, "arn:aws:iam::<account A>:role/<name>"),
        ),
        "source_profile": _ask(
            "Profile with your own credentials",
            source_profile,
            old.get("source_profile", "default"),
            _matches(_PROFILE, "letters, digits or _.@:/+=,-"),
        ),
        "external_id": _ask(
            "External id (account A's output ExternalId)",
            external_id,
            old.get("external_id"),
            _matches(EXTERNAL_ID, "2 to 1224 letters, digits or _+=,.@:/-"),
        ),
    }
    account, user = _who(settings["source_profile"])
    name = f"{account}-{user}"[:64] if account else None
    settings["role_session_name"] = _ask(
        "Session name (<account id>-<user>)",
        role_session_name,
        old.get("role_session_name", name),
        _session_name(account),
    )
    settings["mfa_serial"] = _ask(
        "ARN of your MFA device (empty for none)",
        mfa_serial,
        old.get("mfa_serial", ""),
        _matches(_MFA_SERIAL, "arn:aws:iam::<account id>:mfa/<device>, a serial number, or nothing"),
    )
    settings["api_url"] = _ask("API URL (account A's output ApiUrl)", api_url, old.get("api_url"), _url)
    settings["region"] = _ask(
        "Region of the API",
        region,
        old.get("region", _region_of(settings["api_url"])),
        _matches(REGION, "a region such as eu-west-1"),
    )

    if only_print:
        click.echo(edit_profile("", profile, settings), nl=False)
        return
    try:
        before = read_file(path)
    except OSError as error:
        raise click.ClickException(f"Cannot read {path}: {error.strerror}.") from error
    after = edit_profile(before, profile, settings)
    if before == after:
        click.echo(f"{path} says so already.")
        return
    _show_difference(path, before, after)
    if not yes:
        click.confirm(f"Change {path}?", abort=True, err=True)
    try:
        backup = write_file(path, after)
    except OSError as error:
        raise click.ClickException(f"Cannot write {error.filename or path}: {error.strerror}.") from error
    click.echo(f"Wrote {path}{f', kept {backup}' if backup else ''}. Next: call-api doctor --profile {profile}")


def _ask(question: str, given: str | None, default: str | None, check: _Check) -> str:
    if given is not None:
        return check(given)
    answer: str = click.prompt(question, default=default, show_default=bool(default), value_proc=check, err=True)
    return answer


def _matches(pattern: re.Pattern[str], allowed: str) -> _Check:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise click.BadParameter(f"{value[:100]!r} is not {allowed}.")
        return value

    return check


def _session_name(account: str) -> _Check:
    allowed = f"{account or '<account id>'}-<user>, at most 64 letters, digits or _+=,.@-"

    def check(value: str) -> str:
        if not SESSION_NAME.fullmatch(value) or not re.match(f"{account or '[0-9]{12}'}-.", value):
            raise click.BadParameter(f"{value[:100]!r} is not {allowed}: account A's trust policy binds it.")
        return value

    return check


def _url(value: str) -> str:
    try:
        return parse_api_url(value)
    except SettingsError as error:
        raise click.BadParameter(error.saw) from error


def _region_of(api_url: str) -> str | None:
    try:
        return find_api_region(api_url, "", "")
    except SettingsError:
        return None


def _who(source_profile: str) -> tuple[str, str]:
    """Return account and name of the source profile's user, both empty if they cannot be found out."""
    try:
        sts: Any = botocore.session.Session(profile=source_profile).create_client("sts", config=_STS_CONFIG)
        identity = sts.get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        click.echo(f"Whose credentials profile {source_profile} has could not be found out: {error}", err=True)
        return "", ""
    return identity["Account"], identity["Arn"].rpartition("/")[2]


def _show_difference(path: Path, before: str, after: str) -> None:
    old, new = (text.splitlines() for text in (before, after))
    for line in difflib.unified_diff(old, new, str(path), str(path), lineterm=""):
        click.secho(line, fg=_COLOURS.get(line[0]))
