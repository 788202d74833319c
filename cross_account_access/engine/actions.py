"""Names of actions that exist, for witnesses.

`actions.json` has, by service, the actions of the AWS Service Authorization Reference, for the services that templates
use most; under `first`, those that everybody knows, which come first where several would do.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from cross_account_access.engine import data


def names(service: str = "") -> Iterator[str]:
    """Yield the actions of a service, or of all, in their usual spelling; the best known first."""
    lists = _lists()
    yield from (action for action in lists["first"] if service in {"", action.split(":")[0]})
    for name in [service] if service else lists["services"]:
        known = (f"{name}:{action}" for action in lists["services"].get(name, ()))
        yield from (action for action in known if action not in lists["first"])


@cache
def _lists() -> Mapping[str, Any]:
    lists: dict[str, Any] = data.read(__file__, "actions.json")
    return lists
