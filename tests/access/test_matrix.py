"""Two oracles, the logic of the proofs and the emulator decide thousands of requests, each as intended."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import botocore.exceptions
import pytest
from botocore.config import Config

from access import matrix
from access.case import Case
from access.decision import decide
from access.model import Model, load
from access.variants import variants
from lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from tests.access import oracles
from tests.access.cases import METHODS, assumptions, calls, cases
from tests.access.mutations import faults

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

    from lab.lab import Lab

VARIANTS = variants()
NARROWED = VARIANTS["narrowed"]


@pytest.mark.parametrize("model", VARIANTS.values(), ids=VARIANTS)
def test_reach_decides_as_intended(model: Model) -> None:
    requests = cases(model)
    assert disagreements(requests, oracles.reach(requests, matrix.documents(model))) == []
    assert len(requests) > 7000
    assert sum(case.intended for case in requests) > 50


def test_reach_decides_as_intended_about_another_api(second: Path) -> None:
    model = load(second)
    requests = list(calls(model))
    assert disagreements(requests, oracles.reach(requests, matrix.documents(model))) == []
    assert sum(case.intended for case in requests) > 10


@pytest.mark.usefixtures("node")
def test_iam_simulate_decides_as_intended(model: Model) -> None:
    requests = cases(model)
    decisions = oracles.simulate(requests, matrix.documents(model))
    unknown = [case for case, decision in zip(requests, decisions, strict=True) if decision is None]
    # It does not know the ARN of a method with an empty path; nobody is granted that one.
    assert unknown == [case for case in requests if re.fullmatch(r"arn:aws:execute-api:.+/\w+/[A-Z]+/", case.resource)]
    assert disagreements(requests, [bool(decision) for decision in decisions]) == []


@pytest.mark.usefixtures("node")
def test_iam_simulate_decides_assumptions_as_intended_where_all_that_can_be_is_narrowed() -> None:
    requests = list(assumptions(NARROWED))
    assert disagreements(requests, oracles.simulate(requests, matrix.documents(NARROWED))) == []


def test_the_logic_of_the_proofs_decides_as_intended() -> None:
    requests = cases(NARROWED)
    chance = random.Random(1)  # noqa: S311 - the same sample each time
    chosen = [case for case in requests if case.intended] + chance.sample(requests, 150)
    documents = matrix.documents(NARROWED)
    assert disagreements(chosen, [decide(case, documents).allowed for case in chosen]) == []


def test_the_logic_of_the_proofs_and_reach_agree_on_wrong_policies_too() -> None:
    """Faulty policies reach corners of the logic that the right ones do not: negations, missing keys, NotPrincipal."""
    chance = random.Random(2)  # noqa: S311 - the same sample each time
    requests = cases(NARROWED)
    compared = {True: 0, False: 0}
    judged = {name for case in requests for name in (case.policy, *case.identity)} & set(NARROWED.documents)
    wrong = [fault for fault in faults(NARROWED) if fault.document in judged]
    for fault in chance.sample(wrong, 60):
        concerned = [case for case in requests if fault.document in (case.policy, *case.identity)]
        intended = [case for case in concerned if case.intended]
        chosen = chance.sample(intended, min(3, len(intended))) + chance.sample(concerned, 4)
        documents = matrix.documents(fault.model)
        decisions = oracles.reach(chosen, documents)
        for case, decision in zip(chosen, decisions, strict=True):
            if decision is None:
                continue
            assert decide(case, documents).allowed is decision, f"{fault.name}: {case}"
            compared[decision] += 1
    assert compared[True] > 50
    assert compared[False] > 50


def test_the_emulator_decides_assumptions_as_intended(lab: Lab, read_back: Model) -> None:
    """The part of the matrix that it models: no root users, who may do everything there, and no MFA."""
    may = {"may assume": lab.may_assume_executor()}
    other = {**lab.may_assume_executor(), "Resource": f"arn:aws:iam::{ACCOUNT_IDS[ACCOUNT_A]}:role/Other"}
    may["may assume another"] = other
    accounts = {ACCOUNT_IDS[name]: name for name in (ACCOUNT_A, ACCOUNT_B, ACCOUNT_C)}
    clients: dict[tuple[str, str], STSClient] = {}
    requests = [
        case
        for case in assumptions(read_back)
        if case.principal.type != "Account"
        and case.principal.arn != read_back.executor.arn
        and "/" not in case.principal.arn.split("/", 1)[1]
        and "aws:MultiFactorAuthPresent" not in case.context
        and "sts:ExternalId" in case.context
    ]
    wrong = []
    for case in requests:
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
    assert len(requests) > 300
    assert any(case.intended for case in requests)


def test_the_emulator_decides_calls_as_intended(lab: Lab, read_back: Model) -> None:
    """The part of the matrix that it models: the API's stage, its routes, and principals of account A."""
    account_b = ACCOUNT_IDS[ACCOUNT_B]
    someone = lab.user(ACCOUNT_B, "proof-caller", lab.may_assume_executor())
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    anything = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    mine = matrix.session_of(read_back.executor, f"{account_b}-caller")
    callers = {
        mine.name: lab.assume_executor(someone, mine.session),
        matrix.role(ACCOUNT_IDS[ACCOUNT_A], "admin").name: lab.role(ACCOUNT_A, "proof-admin", everything),
        matrix.user(ACCOUNT_IDS[ACCOUNT_A], "ann").name: lab.user(ACCOUNT_A, "proof-ann", anything),
    }
    prefix = f"{read_back.api_arn}/{read_back.stage}/"
    known = {route.example.target.removeprefix("/") for route in read_back.routes}
    wrong = []
    sent = 0
    for case in calls(read_back):
        method, _, path = case.resource.removeprefix(prefix).partition("/")
        if case.principal.name not in callers or not case.resource.startswith(prefix):
            continue
        if path not in known or case.principal.session == "x":
            continue
        response = lab.request(method, f"/{path}", callers[case.principal.name])
        sent += 1
        if (response.status_code != 403) is not case.intended:
            wrong.append((response.status_code, str(case)))
    assert wrong == []
    assert sent == len(known) * len(METHODS) * len(callers)


def disagreements(requests: list[Case], decisions: list[bool | None]) -> list[str]:
    return [
        f"{case}: {decision}"
        for case, decision in zip(requests, decisions, strict=True)
        if decision is not case.intended
    ]
