"""Settings of the function: each variable is checked, and no secret shown."""

import pytest

from cross_account_api.errors import SettingsError
from cross_account_caller.settings import Settings
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, EXTERNAL_ID, FAILED_CALL_QUEUE_URL


def test_settings_are_what_the_environment_says(environment: dict[str, str]) -> None:
    settings = Settings.from_environment()

    assert settings == Settings(
        api_url=API_URL,
        api_region="eu-west-1",
        api_key="",
        executor_role_arn=EXECUTOR_ROLE_ARN,
        external_id=EXTERNAL_ID,
        session_name="222222222222-orders-caller",
        api_ignores_idempotency_keys=False,
        api_timeout=30.0,
        failed_call_queue_url=FAILED_CALL_QUEUE_URL,
    )
    assert EXTERNAL_ID not in repr(settings)


def test_a_long_session_name_is_shortened_and_stays_unique(environment: dict[str, str]) -> None:
    stack_name = "a" * 128

    names = {
        Settings.from_environment(environment | {"SESSION_NAME": f"222222222222-{stack_name}{end}"}).session_name
        for end in ("", "-b")
    }

    assert len(names) == 2
    assert {(len(name), name[:50]) for name in names} == {(64, "222222222222-" + "a" * 37)}


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("API_URL", "", "empty"),
        ("API_URL", "http://api.example.com", "'http://api.example.com'"),
        ("API_REGION", "somewhere", "'somewhere'"),
        ("EXECUTOR_ROLE_ARN", "arn:aws:iam::111111111111:user/my-user", "'arn:aws:iam::111111111111:user/my-user'"),
        ("EXTERNAL_ID", "", "empty"),
        ("EXTERNAL_ID", "a secret with spaces", "20 characters"),
        ("API_KEY", "short", "5 characters"),
        ("SESSION_NAME", "", "empty"),
        ("API_IGNORES_IDEMPOTENCY_KEYS", "yes", "'yes'"),
        ("API_TIMEOUT", "901", "'901'"),
        ("API_TIMEOUT", "30s", "'30s'"),
    ],
)
def test_the_error_names_the_variable_its_value_and_what_is_allowed(
    environment: dict[str, str], variable: str, value: str, shown: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(environment | {variable: value})

    assert caught.value.setting == variable
    assert str(caught.value).startswith(f"{variable} is {shown}. It must be {caught.value.allowed}")


def test_without_a_role_the_function_signs_as_itself_and_an_api_key_is_not_shown(environment: dict[str, str]) -> None:
    key = "a1b2c3d4e5f6g7h8i9j0"
    none = dict.fromkeys(("EXECUTOR_ROLE_ARN", "EXTERNAL_ID", "SESSION_NAME"), "")

    settings = Settings.from_environment(environment | none | {"API_TIMEOUT": "900", "API_KEY": key})

    assert (settings.executor_role_arn, settings.api_timeout, settings.api_key) == ("", 900.0, key)
    assert key not in repr(settings)
