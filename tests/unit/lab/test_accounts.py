from pathlib import Path

import pytest
from botocore.credentials import Credentials

from cross_account_lab.accounts import environment, session, write_accounts


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    config_file = tmp_path / "aws-config"
    (tmp_path / "ca.pem").touch()
    location = {"region": "eu-west-1", "endpoint_url": "https://127.0.0.1:1", "ca_bundle": str(tmp_path / "ca.pem")}
    write_accounts(config_file, location)
    return config_file


@pytest.mark.parametrize(
    ("who", "access_key"),
    [
        ("account-a", "111111111111"),
        ("account-b", "222222222222"),
        ("account-c", "333333333333"),
        (Credentials("key", "secret", "token"), "key"),
    ],
)
def test_a_session_is_an_accounts_root_or_who_is_given_whatever_the_users_own_settings(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str | Credentials, access_key: str
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-my-own")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "my-config"))
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")

    made = session(config_file, who)

    credentials = made.get_credentials()
    assert credentials is not None
    assert (credentials.access_key, credentials.token) == (access_key, "token" if access_key == "key" else None)
    client = made.client("sts")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("https://127.0.0.1:1", "eu-west-1")
    assert client.meta.config.proxies == {}  # type: ignore[attr-defined]


def test_the_environment_leads_to_nothing_but_the_configuration(config_file: Path) -> None:
    assert environment(config_file, config_file.parent / "ca.pem") == {
        "AWS_CA_BUNDLE": str(config_file.parent / "ca.pem"),
        "AWS_CONFIG_FILE": str(config_file),
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
