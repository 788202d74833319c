"""A person's AWS profile: what it says about the API, beside what every AWS tool reads in it."""

from collections.abc import Mapping

import botocore.session
import click
from botocore.exceptions import BotoCoreError
from click.shell_completion import CompletionItem

from cross_account_api.credentials import assume_role_error, describe_profile


def read_profile(name: str | None) -> Mapping[str, str]:
    """Read a profile.

    Besides the settings of AWS it may hold `api_url` and `api_region`, which no AWS tool minds.

    Args:
        name: The profile; None for the one that `AWS_PROFILE` names, or else `default`.

    Returns:
        Its settings.

    Raises:
        AssumeRoleError: There is no such profile, or the configuration cannot be read.
    """
    try:
        settings: Mapping[str, str] = botocore.session.Session(profile=name).get_scoped_config()
    except BotoCoreError as error:
        raise assume_role_error(describe_profile(name), error) from error
    return settings


def complete_profile(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the profiles that a shell may complete a word to."""
    del context, parameter
    try:
        profiles = botocore.session.Session().available_profiles
    except BotoCoreError:
        return []
    return [CompletionItem(profile) for profile in profiles if profile.startswith(incomplete)]
