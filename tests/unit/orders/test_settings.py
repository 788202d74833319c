import pytest

from orders.settings import Settings

VARIABLES = {
    "ORDERS_TABLE": "account-a-OrdersTable-1ABC",
    "IDEMPOTENCY_TABLE": "account-a-IdempotencyTable-1ABC",
    "EXECUTOR_ROLE_IDS": "AROAEXECUTOREXAMPLE1",
}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def test_settings_are_the_variables() -> None:
    settings = Settings.from_environment()
    assert (settings.orders_table, settings.idempotency_table) == tuple(VARIABLES.values())[:2]
    assert settings.executor_role_ids == {"AROAEXECUTOREXAMPLE1"}


@pytest.mark.parametrize("role_ids", ["AROA1,AROA2", "AROA2,AROA1,", "AROA1,AROA2,AROA1"])
def test_there_may_be_several_roles(monkeypatch: pytest.MonkeyPatch, role_ids: str) -> None:
    monkeypatch.setenv("EXECUTOR_ROLE_IDS", role_ids)
    assert Settings.from_environment().executor_role_ids == {"AROA1", "AROA2"}


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


@pytest.mark.parametrize(
    "role_ids", [",", ",AROA1", "AROA1,,AROA2", "AROA1, AROA2", "AROA1,,", "AROA1,AIDAEXAMPLEUSERID1234", "AROA1\n"]
)
def test_a_list_of_anything_else_is_refused(monkeypatch: pytest.MonkeyPatch, role_ids: str) -> None:
    monkeypatch.setenv("EXECUTOR_ROLE_IDS", role_ids)
    with pytest.raises(ValueError, match="EXECUTOR_ROLE_IDS must match"):
        Settings.from_environment()


def test_a_user_is_not_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTOR_ROLE_IDS", "AIDAEXAMPLEUSERID1234")
    with pytest.raises(ValueError, match="'AIDAEXAMPLEUSERID1234'"):
        Settings.from_environment()
