"""The lab's accounts, and the AWS configuration with which SAM CLI, boto3 and users reach them."""

import os
from collections.abc import Mapping
from configparser import RawConfigParser
from pathlib import Path

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.loaders import create_loader

REGION = "eu-west-1"
ACCOUNT_A = "account-a"
ACCOUNT_B = "account-b"
ACCOUNT_C = "account-c"
ACCOUNT_IDS = {ACCOUNT_A: "111111111111", ACCOUNT_B: "222222222222", ACCOUNT_C: "333333333333"}

_LOADER = create_loader()  # keeps what it has read, for every session


def write_accounts(config_file: Path, location: Mapping[str, str]) -> None:
    """Write an AWS configuration with a profile for each account's root user, and a default one without credentials."""
    write_profile(config_file, "default", **location)
    for profile, account_id in ACCOUNT_IDS.items():
        # The emulator takes an account's id as the access key of its root user, whom no policy restricts.
        root = {"aws_access_key_id": account_id, "aws_secret_access_key": "test"}
        write_profile(config_file, profile, **location, **root)


def write_profile(config_file: Path, profile: str, **settings: str) -> None:
    """Add a profile to an AWS configuration, or replace it."""
    config = RawConfigParser()
    config.read(config_file)
    config[profile if profile == "default" else f"profile {profile}"] = settings
    with config_file.open("w") as file:
        config.write(file)


def environment(config_file: Path, ca_file: Path) -> dict[str, str]:
    """Return the environment variables that restrict any AWS tool to an AWS configuration."""
    return {
        "AWS_CA_BUNDLE": str(ca_file),
        "AWS_CONFIG_FILE": str(config_file),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def session(config_file: Path, who: str | Credentials) -> boto3.Session:
    """Make a boto3 session, for a profile or for credentials, that depends on nothing but an AWS configuration."""
    core = botocore.session.Session()
    core.register_component("data_loader", _LOADER)
    core.set_config_variable("config_file", str(config_file))
    core.set_config_variable("profile", who if isinstance(who, str) else "default")
    core.set_config_variable("ca_bundle", core.get_scoped_config()["ca_bundle"])
    # Loopback is never behind a proxy, and a lab shows the first response, not the one after retries.
    core.set_default_client_config(Config(proxies={}, read_timeout=120, retries={"total_max_attempts": 1}))
    if isinstance(who, str):
        return boto3.Session(botocore_session=core)
    return boto3.Session(who.access_key, who.secret_key, who.token, botocore_session=core)
