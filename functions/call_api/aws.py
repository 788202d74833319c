"""Whose credentials a profile starts from, asked from STS and IAM."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from cross_account_api.credentials import (
    ProfileCredentials,
    assume_role_errors,
    describe_profile,
    find_source,
    open_session,
)

_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})

CREDENTIAL_SOURCES = {"Environment": "env", "EcsContainer": "container-role", "Ec2InstanceMetadata": "iam-role"}
"""The values of `credential_source`, and botocore's names for them.

See https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-role.html#cli-configure-role-oidc
"""


@dataclass(frozen=True)
class Caller:
    """Who signs, before a role is assumed."""

    arn: str
    account: str
    date: str  # STS's own time, as the header `Date` has it
    session: Session = field(repr=False)  # signs as the caller, with the region and endpoints of the profile

    @property
    def is_user(self) -> bool:
        """Whether it is an IAM user."""
        return ":user/" in self.arn

    @property
    def is_root(self) -> bool:
        """Whether it is an account's root user, which can assume no role."""
        return self.arn.endswith(":root")

    @property
    def role_name(self) -> str:
        """Name of the role, without its path; empty if the caller is no role session."""
        return self.arn.split("/")[1] if ":assumed-role/" in self.arn else ""

    def is_session_of(self, role_arn: str) -> bool:
        """Whether it is a session of a role."""
        return bool(self.role_name) and role_arn.endswith(f"/{self.role_name}") and f"::{self.account}:" in role_arn

    def create_client(self, service: str) -> Any:
        """Create a client that signs as the caller."""
        return self.session.create_client(service, config=_CONFIG)

    def find_principal(self) -> str:
        """Return the ARN by which policies name the caller; of a role whose path cannot be read, a pattern for it.

        A session's ARN lacks its role's path, which `aws:PrincipalArn` has; so have all roles of Identity Center.

        See https://docs.aws.amazon.com/singlesignon/latest/userguide/referencingpermissionsets.html
        """
        if not (name := self.role_name):
            return self.arn
        try:
            arn: str = self.create_client("iam").get_role(RoleName=name)["Role"]["Arn"]
        except (BotoCoreError, ClientError):
            partition = self.arn.partition(":sts:")[0]
            path = "aws-reserved/sso.amazonaws.com/*" if name.startswith("AWSReservedSSO_") else "*"
            return f"{partition}:iam::{self.account}:role/{path}/{name}"
        return arn


def identify(profile: str | None, settings: Mapping[str, str]) -> Caller:
    """Ask STS whose credentials a profile's role is assumed with, or whose they are if it has no role.

    Raises AssumeRoleError if there are none, or STS cannot be asked.
    """
    name = settings.get("source_profile", profile) if "role_arn" in settings else profile
    session: Any = open_session(profile)
    with assume_role_errors(describe_profile(name), find_source(open_session(name))):
        first = _first_credentials(profile, session, settings)
        session.set_credentials(first.access_key, first.secret_key, first.token)
        response = session.create_client("sts", config=_CONFIG).get_caller_identity()
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    return Caller(response["Arn"], response["Account"], date, session)


def _first_credentials(profile: str | None, session: Session, settings: Mapping[str, str]) -> ReadOnlyCredentials:
    source = settings.get("source_profile")
    if "role_arn" not in settings:
        return ProfileCredentials(profile).get_frozen_credentials()
    if source and source != session.profile:
        return ProfileCredentials(source).get_frozen_credentials()
    if source:
        return ReadOnlyCredentials(
            settings["aws_access_key_id"], settings["aws_secret_access_key"], settings.get("aws_session_token")
        )
    provider = CREDENTIAL_SOURCES[settings["credential_source"]]
    found = open_session().get_component("credential_provider").get_provider(provider).load()
    frozen: ReadOnlyCredentials = found.get_frozen_credentials()
    return frozen
