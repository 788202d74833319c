"""Two oracles, the logic of the proofs and the emulator decide thousands of requests, each as intended."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import botocore.exceptions
import pytest
from access.policies import STRICT, Intent, Policies, deployed_intent, from_templates
from botocore.config import Config

from access import matrix
from access.decision import decide
from access.matrix import Case
from lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from tests.access import oracles
from tests.access.mutations import faults

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

    from lab.lab import Lab

INTENTS = {"defaults": Intent(), "strict": STRICT, "as in the lab": deployed_intent()}


@pytest.mark.parametrize("intent", INTENTS.values(), ids=INTENTS)
def test_reach_decides_as_intended(intent: Intent) -> None:
    policies = from_templates(intent)
    cases = matrix.cases(policies)
    decisions = oracles.reach(cases, matrix.documents(policies))
    assert disagreements(cases, decisions) == []
    assert len(cases) > 7000
    assert sum(case.intended for case in cases) > 50


@pytest.mark.usefixtures("node")
def test_iam_simulate_decides_as_intended() -> None:
    policies = from_templates()
    cases = matrix.cases(policies)
    decisions = oracles.simulate(cases, matrix.documents(policies))
    unknown = [case for case, decision in zip(cases, decisions, strict=True) if decision is None]
    # It does not know the ARN of a method with an empty path; nobody is granted that one.
    assert unknown == [case for case in cases if re.fullmatch(r"arn:aws:execute-api:.+/\w+/[A-Z]+/", case.resource)]
    assert disagreements(cases, [bool(decision) for decision in decisions]) == []


@pytest.mark.usefixtures("node")
def test_iam_simulate_decides_assumptions_as_intended_where_all_that_can_be_is_narrowed() -> None:
    policies = from_templates(STRICT)
    cases = list(matrix.assumptions(policies))
    assert disagreements(cases, oracles.simulate(cases, matrix.documents(policies))) == []


def test_the_logic_of_the_proofs_decides_as_intended() -> None:
    policies = from_templates(STRICT)
    cases = matrix.cases(policies)
    chance = random.Random(1)  # noqa: S311 - the same sample each time
    chosen = [case for case in cases if case.intended] + chance.sample(cases, 150)
    documents = matrix.documents(policies)
    assert disagreements(chosen, [decide(case, documents).allowed for case in chosen]) == []


def test_the_logic_of_the_proofs_and_reach_agree_on_wrong_policies_too() -> None:
    """Faulty policies reach corners of the logic that the right ones do not: negations, missing keys, NotPrincipal."""
    chance = random.Random(2)  # noqa: S311 - the same sample each time
    right = from_templates(STRICT)
    cases = matrix.cases(right)
    compared = {True: 0, False: 0}
    judged = {name for case in cases for name in (case.policy, *case.identity)} & set(right.documents)
    wrong = [fault for fault in faults(right) if fault.document in judged]
    for fault in chance.sample(wrong, 60):
        concerned = [case for case in cases if fault.document in (case.policy, *case.identity)]
        intended = [case for case in concerned if case.intended]
        chosen = chance.sample(intended, min(3, len(intended))) + chance.sample(concerned, 4)
        documents = matrix.documents(fault.policies)
        decisions = oracles.reach(chosen, documents)
        for case, decision in zip(chosen, decisions, strict=True):
            if decision is None:
                continue
            assert decide(case, documents).allowed is decision, f"{fault.name}: {case}"
            compared[decision] += 1
    assert compared[True] > 50
    assert compared[False] > 50


def test_the_emulator_decides_assumptions_as_intended(lab: Lab, deployed: Policies) -> None:
    """The part of the matrix that it models: no root users, who may do everything there, and no MFA."""
    may = {"may assume": lab.may_assume_executor()}
    other = {**lab.may_assume_executor(), "Resource": f"arn:aws:iam::{ACCOUNT_IDS[ACCOUNT_A]}:role/Other"}
    may["may assume another"] = other
    accounts = {ACCOUNT_IDS[name]: name for name in (ACCOUNT_A, ACCOUNT_B, ACCOUNT_C)}
    clients: dict[tuple[str, str], STSClient] = {}
    cases = [
        case
        for case in matrix.assumptions(deployed)
        if case.principal.type != "Account"
        and case.principal.arn != deployed.names["ExecutorRole.Arn"]
        and "/" not in case.principal.arn.split("/", 1)[1]
        and "aws:MultiFactorAuthPresent" not in case.context
        and "sts:ExternalId" in case.context
    ]
    wrong = []
    for case in cases:
        (identity,) = case.identity
        who = (case.principal.arn, identity)
        if who not in clients:
            make = lab.user if case.principal.type == "User" else lab.role
            someone = make(accounts[case.principal.account], f"proof-{len(clients)}", may[identity])
            # What no client would send must be refused by the policy, not by botocore.
            clients[who] = lab.session(someone).client("sts", config=Config(parameter_validation=False))
        try:
            clients[who].assume_role(
                RoleArn=case.resource,
                RoleSessionName=case.context["sts:RoleSessionName"],
                ExternalId=case.context["sts:ExternalId"],
            )
            decision = "allowed"
        except botocore.exceptions.ClientError as error:
            decision = error.response["Error"]["Code"]
        if decision != ("allowed" if case.intended else "AccessDenied"):
            wrong.append((decision, str(case)))
    assert wrong == []
    assert len(cases) > 300
    assert any(case.intended for case in cases)


def test_the_emulator_decides_calls_as_intended(lab: Lab, deployed: Policies) -> None:
    """The part of the matrix that it models: the API's stage, its routes, and principals of account A."""
    account_b = ACCOUNT_IDS[ACCOUNT_B]
    someone = lab.user(ACCOUNT_B, "proof-caller", lab.may_assume_executor())
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    anything = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    callers = {
        matrix.executor(deployed, f"{account_b}-orders-caller").name: lab.assume_executor(
            someone, f"{account_b}-orders-caller"
        ),
        matrix.role(ACCOUNT_IDS[ACCOUNT_A], "admin").name: lab.role(ACCOUNT_A, "proof-admin", everything),
        matrix.user(ACCOUNT_IDS[ACCOUNT_A], "ann").name: lab.user(ACCOUNT_A, "proof-ann", anything),
    }
    prefix = f"{deployed.api_arn}/{deployed.intent.stage}/"
    wrong = []
    sent = 0
    for case in matrix.calls(deployed):
        method, _, path = case.resource.removeprefix(prefix).partition("/")
        if case.principal.name not in callers or not case.resource.startswith(prefix):
            continue
        if path not in {"whoami", "orders", "orders/7f3c"} or case.principal.session == "x":
            continue
        answer = lab.request(method, f"/{path}", callers[case.principal.name])
        sent += 1
        if (answer.status_code != 403) is not case.intended:
            wrong.append((answer.status_code, str(case)))
    assert wrong == []
    assert sent == 3 * len(matrix.METHODS) * len(callers)


def disagreements(cases: list[Case], decisions: list[bool | None]) -> list[str]:
    return [
        f"{case}: {decision}" for case, decision in zip(cases, decisions, strict=True) if decision is not case.intended
    ]
