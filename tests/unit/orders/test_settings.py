"""Settings of the example's backend: each variable is checked."""

import re

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


@pytest.mark.parametrize(
    ("role_ids", "found"),
    [("AROAEXECUTOREXAMPLE1", {"AROAEXECUTOREXAMPLE1"}), ("AROA2,AROA1,", {"AROA1", "AROA2"})],
)
def test_settings_are_the_variables(monkeypatch: pytest.MonkeyPatch, role_ids: str, found: set[str]) -> None:
    monkeypatch.setenv("EXECUTOR_ROLE_IDS", role_ids)
    settings = Settings.from_environment()
    assert (settings.orders_table, settings.idempotency_table) == tuple(VARIABLES.values())[:2]
    assert settings.executor_role_ids == found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in VARIABLES for value in ("", "a b")),
        *(("EXECUTOR_ROLE_IDS", ids) for ids in (",AROA1", "AROA1,,AROA2", "AROA1,AIDA1", "AROA1\n")),
    ],
)
def test_a_malformed_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    if not value:
        monkeypatch.delenv(name)
    with pytest.raises(ValueError, match=f"^environment variable {name} must match .*, not {re.escape(repr(value))}"):
        Settings.from_environment()
