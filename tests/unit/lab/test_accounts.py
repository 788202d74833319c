from __future__ import annotations

from pathlib import Path

import pytest
from botocore.credentials import Credentials

from cross_account_lab.accounts import environment, session, write_accounts, write_profile


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    config_file = tmp_path / "aws-config"
    location = {"region": "eu-west-1", "endpoint_url": "https://127.0.0.1:1", "ca_bundle": str(tmp_path / "ca.pem")}
    write_accounts(config_file, location)
    return config_file


@pytest.mark.parametrize(
    ("profile", "account_id"),
    [("account-a", "111111111111"), ("account-b", "222222222222"), ("account-c", "333333333333")],
)
def test_a_profile_is_its_accounts_root_at_the_emulator(config_file: Path, profile: str, account_id: str) -> None:
    made = session(config_file, profile)

    credentials = made.get_credentials()
    assert credentials is not None
    assert credentials.access_key == account_id
    assert made.region_name == "eu-west-1"


def test_credentials_are_used_as_they_are(config_file: Path) -> None:
    credentials = session(config_file, Credentials("key", "secret", "token")).get_credentials()

    assert credentials is not None
    assert (credentials.access_key, credentials.secret_key, credentials.token) == ("key", "secret", "token")


@pytest.mark.parametrize("who", ["account-a", Credentials("key", "secret")])
def test_the_users_own_settings_do_not_count(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str | Credentials
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-my-own")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "my-config"))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    (tmp_path / "ca.pem").write_text("")

    made = session(config_file, who)

    credentials = made.get_credentials()
    assert credentials is not None
    assert credentials.access_key in {"111111111111", "key"}
    client = made.client("sts")
    assert client.meta.endpoint_url == "https://127.0.0.1:1"
    assert client.meta.config.proxies == {}  # type: ignore[attr-defined]


def test_a_profile_can_be_added_and_replaced(config_file: Path) -> None:
    write_profile(config_file, "me", region="eu-west-1", role_arn="old")
    write_profile(config_file, "me", region="eu-west-1")

    text = config_file.read_text()
    assert text.count("[profile me]") == 1
    assert "old" not in text
    assert "[profile account-a]" in text


def test_the_environment_leads_to_nothing_but_the_configuration(config_file: Path) -> None:
    variables = environment(config_file, config_file.parent / "ca.pem")

    assert variables["AWS_CONFIG_FILE"] == str(config_file)
    assert Path(variables["AWS_SHARED_CREDENTIALS_FILE"]).read_text() == ""
    assert variables["AWS_EC2_METADATA_DISABLED"] == "true"
