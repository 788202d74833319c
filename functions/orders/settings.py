"""Settings from environment variables."""

import os
import re
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment variables of the function, checked: two DynamoDB tables, and the roles that may call the API.

    Attributes:
        executor_role_ids: Unique ids of roles (`AROA…`); separated by commas in the variable.
    """

    orders_table: str
    idempotency_table: str
    executor_role_ids: frozenset[str]

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables that have the attributes' names in upper case; ValueError if one is wrong."""
        table = r"[A-Za-z0-9_.-]{3,255}"
        # The template's own list of further roles is empty by default, which leaves a comma at the end.
        role_ids = _variable("EXECUTOR_ROLE_IDS", r"AROA[A-Z0-9]+(,AROA[A-Z0-9]+)*,?")
        return cls(
            orders_table=_variable("ORDERS_TABLE", table),
            idempotency_table=_variable("IDEMPOTENCY_TABLE", table),
            executor_role_ids=frozenset(filter(None, role_ids.split(","))),
        )


def _variable(name: str, pattern: str) -> str:
    value = os.environ.get(name, "")
    if not re.fullmatch(pattern, value):
        raise ValueError(f"environment variable {name} must match {pattern}, not {value!r}")
    return value
