"""Names of actions that exist, for witnesses.

`actions.json` has, by service and by the ARN patterns of what they act on (`*` for those without a resource), the
actions of the AWS Service Authorization Reference, for the services that templates use most.
"""

import fnmatch
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files

# Actions that everybody knows come first where several would do.
_FIRST = (
    "sts:AssumeRole",
    "execute-api:Invoke",
    "lambda:InvokeFunction",
    "sqs:SendMessage",
    "sqs:ReceiveMessage",
    "sns:Publish",
    "s3:GetObject",
    "s3:PutObject",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "kms:Decrypt",
    "secretsmanager:GetSecretValue",
    "events:PutEvents",
    "states:StartExecution",
    "kinesis:PutRecord",
    "logs:PutLogEvents",
    "ssm:GetParameter",
    "iam:PassRole",
    "iam:CreateUser",
    "ecr:BatchGetImage",
    "elasticfilesystem:ClientMount",
    "cloudformation:CreateStack",
)


def find(matches: Callable[[str], bool], *, service: str = "", resource: str = "") -> str | None:
    """Return an action that exists and fits, such as `sqs:SendMessage`.

    Args:
        matches: Whether an action, in its usual spelling, is one that is looked for.
        service: Only actions of this service.
        resource: Only actions on this ARN. Without one, on anything.
    """
    return next((action for action in names(service, resource) if matches(action)), None)


def names(service: str = "", resource: str = "") -> Iterator[str]:
    """Yield the actions of a service, or of all, on a resource, or on any; the best known first."""
    for action in _FIRST:
        if service in {"", action.split(":")[0]} and acts_on(action, resource):
            yield action
    for name in [service] if service else _table():
        for action in _table().get(name, {}):
            if action not in _FIRST and acts_on(action, resource):
                yield action


def exists(action: str) -> bool:
    """Whether there is such an action, in any case; also true for services that are not in the table."""
    service, _, name = action.lower().partition(":")
    return service not in _table() or name in _lower(service)


def acts_on(action: str, resource: str) -> bool:
    """Whether an action in its usual spelling can act on an ARN."""
    patterns = _table()[action.split(":", maxsplit=1)[0]].get(action, ())
    return not resource or any(fnmatch.fnmatchcase(resource, pattern) for pattern in patterns)


@cache
def _table() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Return the ARN patterns by service and action."""
    loaded = json.loads(files(__package__).joinpath("actions.json").read_text("utf-8"))
    return {
        service: {f"{service}:{name}": tuple(patterns.split()) for patterns, names in groups.items() for name in names}
        for service, groups in loaded.items()
    }


@cache
def _lower(service: str) -> frozenset[str]:
    return frozenset(action.lower().partition(":")[2] for action in _table()[service])
