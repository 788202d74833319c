import pytest

from orders.settings import Settings

VARIABLES = {
    "ORDERS_TABLE": "account-a-OrdersTable-1ABC",
    "IDEMPOTENCY_TABLE": "account-a-IdempotencyTable-1ABC",
    "EXECUTOR_ROLE_ID": "AROAEXECUTOREXAMPLE1",
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def test_settings_are_the_variables() -> None:
    settings = Settings.from_environment()
    assert (settings.orders_table, settings.idempotency_table, settings.executor_role_id) == tuple(VARIABLES.values())


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("value", [None, "", " ", "a b", "arn:aws:iam::111111111111:role/executor"])
def test_a_missing_or_malformed_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^environment variable {name} must match "):
        Settings.from_environment()


def test_a_user_is_not_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTOR_ROLE_ID", "AIDAEXAMPLEUSERID1234")
    with pytest.raises(ValueError, match="'AIDAEXAMPLEUSERID1234'"):
        Settings.from_environment()
