from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caller.settings import Settings, find_api_region, parse_api_url
from cross_account_api.errors import SettingsError
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, EXTERNAL_ID


def test_settings_are_what_the_environment_says(environment: dict[str, str]) -> None:
    settings = Settings.from_environment()

    assert settings == Settings(
        api_url=API_URL,
        api_region="eu-west-1",
        executor_role_arn=EXECUTOR_ROLE_ARN,
        external_id=EXTERNAL_ID,
        session_name="222222222222-orders-caller",
    )
    assert EXTERNAL_ID not in repr(settings)


def test_a_session_name_is_cut_to_what_sts_takes(environment: dict[str, str]) -> None:
    stack_name = "a" * 128

    settings = Settings.from_environment(environment | {"SESSION_NAME": f"222222222222-{stack_name}"})

    assert settings.session_name == "222222222222-" + "a" * 51


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_URL", ""),
        ("API_URL", "http://api.example.com"),
        ("API_REGION", "somewhere"),
        ("EXECUTOR_ROLE_ARN", ""),
        ("EXECUTOR_ROLE_ARN", "arn:aws:iam::111111111111:user/my-user"),
        ("EXTERNAL_ID", ""),
        ("EXTERNAL_ID", "x"),
        ("EXTERNAL_ID", "a secret with spaces"),
        ("SESSION_NAME", ""),
        ("SESSION_NAME", "two words"),
    ],
)
def test_the_error_names_the_variable_its_value_and_what_is_allowed(
    environment: dict[str, str], variable: str, value: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment | {variable: value})

    assert caught.value.variable == variable
    assert str(caught.value).startswith(f"{variable} is ")
    assert caught.value.allowed in str(caught.value)
    assert variable == "EXTERNAL_ID" or (repr(value) if value else "empty") in str(caught.value)


def test_a_wrong_external_id_is_not_shown(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment | {"EXTERNAL_ID": "secret words"})

    assert "secret" not in str(caught.value)
    assert "12 characters" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        (API_URL, API_URL),
        (API_URL + "/", API_URL),
        ("https://API.Example.com:443", "https://api.example.com"),
        ("https://api.example.com:8443/v1", "https://api.example.com:8443/v1"),
        ("https://192.0.2.1/v1", "https://192.0.2.1/v1"),
        ("https://[2001:DB8::1]/v1", "https://[2001:db8::1]/v1"),
        ("http://127.0.0.1:4566/_aws/execute-api/abc/v1", "http://127.0.0.1:4566/_aws/execute-api/abc/v1"),
        ("http://[::1]:4566/v1", "http://[::1]:4566/v1"),
        ("http://localhost:80/v1", "http://localhost/v1"),
        ("http://emulator:4566/v1", "http://emulator:4566/v1"),
    ],
)
def test_an_address_has_one_form(url: str, canonical: str) -> None:
    assert parse_api_url(url) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1",
        "ftp://api.example.com",
        "https://",
        "https://user:password@api.example.com",
        "https://api.example.com/v1?a=1",
        "https://api.example.com/v1#a",
        "https://api.example.com/v1/../v2",
        "https://api.example.com//v1",
        "https://api.example.com/%761",
        "https://api.example.com/v1\n",
        "https://api.example.com:0",
        "https://api.example.com:65536",
        "https://api..example.com",
        "https://-api.example.com",
        "https://" + "a" * 64 + ".example.com",
        "https://[::g]",
        "https://2130706433/v1",
        "https://api.example.0x7f/v1",
        "https://1.2.3/v1",
        "http://2130706433/v1",
        "http://192.0.2.1/v1",
        "http://[2001:db8::1]/v1",
        "http://localhost.example.com/v1",
    ],
)
def test_an_address_that_is_not_one_or_not_safe_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="API_URL"):
        parse_api_url(url)


@given(st.text() | st.from_regex(r"https?://[^/]{0,20}(/.*)?"))
def test_any_text_is_an_address_or_a_settings_error(url: str) -> None:
    try:
        canonical = parse_api_url(url)
    except SettingsError:
        return
    assert parse_api_url(canonical) == canonical


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "eu-central-1"),
        ("a1b2c3d4e5.execute-api.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("a1b2c3d4e5.execute-api.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("a1b2c3d4e5.execute-api-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("a1b2c3d4e5.execute-api.eu-central-1.api.aws", "eu-central-1"),
        ("a1b2c3d4e5-vpce-0123456789abcdef0.execute-api.eu-north-1.amazonaws.com", "eu-north-1"),
        ("vpce-0123456789abcdef0-abcdefgh.execute-api.eu-north-1.vpce.amazonaws.com", "eu-north-1"),
        ("api.example.com", "eu-west-1"),
        ("execute-api.eu-central-1.amazonaws.com.example.com", "eu-west-1"),
    ],
)
def test_the_region_comes_from_the_address_else_from_the_caller(host: str, region: str) -> None:
    assert find_api_region(f"https://{host}/v1", "", "eu-west-1") == region


def test_a_region_that_is_given_wins() -> None:
    assert find_api_region(API_URL, "ap-southeast-2", "eu-north-1") == "ap-southeast-2"


def test_without_any_region_the_error_names_the_variable() -> None:
    with pytest.raises(SettingsError, match="API_REGION is empty"):
        find_api_region("https://api.example.com", "", "")
