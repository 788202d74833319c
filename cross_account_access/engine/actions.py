"""Names of actions that exist, for witnesses.

`actions.json` has, by service and by the ARN patterns of what they act on (`*` for those without a resource), the
actions of the AWS Service Authorization Reference, for the services that templates use most.
"""

from collections.abc import Iterator, Mapping
from functools import cache

from cross_account_access.engine import data

_LISTS = data.read(__file__, "actions.json")
# Actions that everybody knows come first where several would do.
_FIRST = _LISTS["first"]


def names(service: str = "") -> Iterator[str]:
    """Yield the actions of a service, or of all, in their usual spelling; the best known first."""
    yield from (action for action in _FIRST if service in {"", action.split(":")[0]})
    for name in [service] if service else _table():
        yield from (action for action in _table().get(name, ()) if action not in _FIRST)


@cache
def _table() -> Mapping[str, list[str]]:
    return {
        service: [f"{service}:{name}" for names in groups.values() for name in names]
        for service, groups in _LISTS.items()
        if service != "first"
    }
