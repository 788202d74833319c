"""What the function is told by its environment."""

import os
import re
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment variables of the function, checked.

    Args:
        orders_table: Name of the DynamoDB table of orders.
        idempotency_table: Name of the DynamoDB table of idempotency records.
        executor_role_id: Unique id of the role whose sessions may call the API (`AROA…`). Unlike its ARN, it never
            names another role that was created later under the same name.
            https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """

    orders_table: str
    idempotency_table: str
    executor_role_id: str

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings from the environment variables of the same names in upper case.

        Returns:
            The settings.

        Raises:
            ValueError: A variable is missing or malformed; the message names it.
        """
        table = r"[A-Za-z0-9_.-]{3,255}"
        return cls(
            orders_table=_variable("ORDERS_TABLE", table),
            idempotency_table=_variable("IDEMPOTENCY_TABLE", table),
            executor_role_id=_variable("EXECUTOR_ROLE_ID", r"AROA[A-Z0-9]+"),
        )


def _variable(name: str, pattern: str) -> str:
    value = os.environ.get(name, "")
    if not re.fullmatch(pattern, value):
        raise ValueError(f"environment variable {name} must match {pattern}, not {value!r}")
    return value
