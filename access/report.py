"""The access report: who may call what, why, and what is proven about it, on one page for people.

`make report` deploys both stacks to the lab and writes build/access-report.html from the policies that it finds there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from access import matrix
from access.decision import Decision, decide
from access.matrix import Case, Principal
from access.policies import Intent, Policies, deployed_intent, from_deployment, from_templates
from access.properties import FACTS, prove
from access.templates import ACCOUNTS, PROJECT
from lab.lab import Lab

A, B, C = ACCOUNTS["a"], ACCOUNTS["b"], "333333333333"
OUTPUT = PROJECT / "build" / "access-report.html"
CALLS = (
    "Assume the role",
    "GET /whoami",
    "POST /orders",
    "GET /orders",
    "GET /orders/{order_id}",
    "DELETE /orders/{order_id}",
)

type Row = tuple[str, str, list[tuple[Case, Decision]]]


def render(deployed: Policies) -> str:
    """Make the report.

    Args:
        deployed: The policies as they stand in the lab.

    Returns:
        One HTML page that needs nothing beside it.
    """
    # The conditions that the emulator cannot have are those of the templates' defaults; all else is as deployed.
    defaults = from_templates(Intent(external_ids=deployed.intent.external_ids), deployed.names)
    proofs = [(fact.sentence, prove(fact, defaults)) for fact in FACTS]
    documents = {name: _pretty(document) for name, document in deployed.documents.items()}
    for name, document in defaults.documents.items():
        if name == "ExecutorRole trust":
            documents[f"{name}, by default"] = _pretty(document)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        calls=CALLS,
        rows=list(rows(defaults)),
        proofs=proofs,
        seconds=sum(verdict.seconds for _, verdict in proofs),
        documents=documents,
        made=datetime.now(UTC),
        pretty=_pretty,
    )


def rows(policies: Policies) -> Iterator[Row]:
    """Let everybody try every call.

    Args:
        policies: The policies.

    Yields:
        For each: who it is, the situation, and what is decided on each of `CALLS`.
    """
    documents = matrix.documents(policies)
    right = {"sts:ExternalId": policies.intent.external_ids[0], "sts:RoleSessionName": f"{B}-orders"}
    no_id = {name: value for name, value in right.items() if name != "sts:ExternalId"}
    with_mfa = {**right, "aws:MultiFactorAuthPresent": "true"}
    job, person, administrator = ("may assume", "may invoke"), ("may assume", "may invoke"), ("administrator",)
    callers: list[tuple[str, str, Principal, tuple[str, ...], dict[str, str]]] = [
        ("The executor's session", "assumed by account B", matrix.executor(policies, f"{B}-orders"),
         ("ExecutorRole identity",), right),
        ("A workload of account B", "before it assumes the role", matrix.role(B, "job"), job, right),
        ("A workload of account B", "without the external id", matrix.role(B, "job"), job, no_id),
        ("A workload of account B", "posing as account C", matrix.role(B, "job"), job,
         {**right, "sts:RoleSessionName": f"{C}-orders"}),
        ("A user of account B", "with MFA", matrix.user(B, "my-user"), person, with_mfa),
        ("A user of account B", "without MFA", matrix.user(B, "my-user"), person, right),
        ("Account B's root user", "", matrix.root(B), administrator, with_mfa),
        ("An administrator of account C", "a stranger", matrix.role(C, "admin"), administrator, right),
        ("An administrator of account A", "the API's own account", matrix.role(A, "admin"), administrator, right),
        ("A user of account A", "who may invoke every API", matrix.user(A, "ann"), ("may invoke",), with_mfa),
    ]  # fmt: skip
    for who, situation, principal, identity, context in callers:
        cases = [
            Case(
                principal,
                "sts:AssumeRole",
                policies.names["ExecutorRole.Arn"],
                identity,
                "ExecutorRole trust",
                context,
            )
        ]
        for call in CALLS[1:]:
            route = call.replace(" ", "").replace("{order_id}", "7f3c")
            arn = f"{policies.api_arn}/{policies.intent.stage}/{route}"
            cases.append(Case(principal, "execute-api:Invoke", arn, identity, "OrdersApi resource"))
        yield who, situation, [(case, decide(case, documents)) for case in cases]


def _pretty(document: object) -> str:
    return json.dumps(document, indent=2)


def main() -> None:
    """Deploy, prove, and write the report."""
    with Lab.start() as lab:
        page = render(from_deployment(lab, deployed_intent(lab.external_id)))
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(page)
    sys.stdout.write(f"{OUTPUT.relative_to(PROJECT)}\n")


if __name__ == "__main__":
    main()
