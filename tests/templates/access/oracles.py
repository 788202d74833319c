"""Another program that decides on requests, to be compared with the proofs.

It is under the AGPL: tests use it, and nothing of it is part of what is deployed.
"""

from collections.abc import Callable, Mapping, Sequence

from reach.engine import Principal as ReachPrincipal
from reach.engine import ResourcePolicy
from reach.policy import parse_policy
from reach.reference import evaluate

from cross_account_access.documents import Document
from cross_account_access.engine.case import Case

type Oracle = Callable[[Sequence[Case], Mapping[str, Document]], list[bool | None]]

# The policy of a resource that has none.
_NONE: Document = {"Version": "2012-10-17", "Statement": []}


def reach(cases: Sequence[Case], documents: Mapping[str, Document]) -> list[bool | None]:
    """Decide requests with the reference evaluator of reach (the package `reach-security`).

    Args:
        cases: The requests.
        documents: The policies that they name.

    Returns:
        Whether each is allowed; None where it does not know.
    """
    parsed = {name: parse_policy(document, name) for name, document in {"": _NONE, **documents}.items()}
    return [
        evaluate(
            ReachPrincipal(case.principal.arn, [parsed[name] for name in case.identity]),
            case.action,
            case.resource,
            {**case.principal.context, **case.context},
            resource_policy=ResourcePolicy(parsed[case.policy], _owner(case), required=case.policy.endswith(" trust")),
        )
        for case in cases
    ]


def _owner(case: Case) -> str:
    """Return the account of the resource; without a policy of the resource, that of the principal decides alone."""
    return case.resource.split(":")[4] if case.policy else case.principal.account
