"""What a change lets whom do, asked of the emulator: the witnesses of `access diff`, sent before and after the change.

The policies before are the deployed ones. Those after are seeded faults, or the same policies written differently,
put into the running lab one document at a time, by the calls of IAM, SQS and API Gateway.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import groupby

import pytest

from access import deployed
from access.engine.case import Case
from access.diff import Change, compare
from access.model import Model
from lab.accounts import ACCOUNT_A, ACCOUNT_B
from lab.lab import STACK_NAMES, Lab
from tests.access.mutations import faults, rewrites
from tests.access.real_requests import Emulator, NotExpressibleError

SUSPENDED = "444444444444"
# Account A's parameters at their narrowest, in the forms that the emulator understands, and as the lab has them.
NARROWED = {
    "ConsumerAccountIds": f"222222222222,{SUSPENDED}",
    "ConsumerSessionName": f"222222222222-*,{SUSPENDED}-*",
    "PreviousExternalId": "old-id",
    "CallerPrincipalArns": "arn:aws:iam::222222222222:role/job-*,arn:aws:sts::222222222222:assumed-role/job-*,"
    "arn:aws:iam::*:user/ann",
    "SuspendedConsumerIds": SUSPENDED,
    "RequireMfaForUsers": "true",
}
AS_BEFORE = {
    "PreviousExternalId": "",
    "CallerPrincipalArns": "arn:*:*::*:*",
    "SuspendedConsumerIds": "",
    "MoreExecutorRoleIds": "",
}

# What is not asked of the emulator, and at most how often. docs/local-runtime.md has the differences from AWS.
LEFT_OUT = {
    # Nothing restricts a root user there, services act for their own resources only, and SQS wants a signature.
    "a root user": 50,
    "a service, or no signature": 40,
    # Sessions there carry no MFA, no source identity and no context, and its endpoint has TLS only.
    "MFA": 10,
    "no operation for sts:SetSourceIdentity": 30,
    "no operation for sts:SetContext": 25,
    "no TLS": 45,
    # It does not implement them, or not as AWS does: 404, 403 either way, no `NotPrincipal`, log groups without `:*`, a
    # session's own ARN as `aws:PrincipalArn`, tags without a permission.
    "a direct call from another account": 45,
    "a path without a route": 30,
    "NotPrincipal": 25,
    "no operation for logs": 30,
    "no operation for xray": 30,
    "the emulator's own rules decide": 10,
    # Operations of their own, which change too much, or that only a permission is named after.
    "no operation for sts": 10,
    "no operation for sqs": 10,
    "no operation for dynamodb": 10,
    "no operation for lambda": 10,
    "no operation for execute-api": 10,
    # A policy that is set statement by statement, that is empty, or that shuts out who would have to take it back.
    "a function's policy, which no call sets as a whole": 25,
    "a document without statements": 10,
    "a queue's policy that its account could not take back": 20,
    # The comparison asks what one policy allows whatever the others say; here the others are deployed, too.
    "the real request needs more than this": 60,
    "a resource that no call can name": 40,
    "a role that does not exist": 30,
    "a path that has to be encoded": 5,
}

# Kinds of witnesses that it must confirm: what happens to the access, whose it is, and the action.
CONFIRMED = {
    *(
        f"gained: {who} of {account}: sts:AssumeRole"
        for who in ("IAM users", "roles")
        for account in ("account A", "a consumer account", "any other account")
    ),
    "lost: roles of a consumer account: sts:AssumeRole",
    "gained: IAM users of account A: execute-api:Invoke",
    "gained: roles of account A: execute-api:Invoke",
    *(
        f"{change}: sessions of {what}"
        for change in ("gained", "lost")
        for what in (
            "ExecutorRole: execute-api:Invoke",
            "the roles in MoreExecutorRoleIds: execute-api:Invoke",
            "CallerFunctionRole: sqs:SendMessage",
            "EchoFunctionRole: dynamodb:PutItem",
            "ScheduleRole: lambda:InvokeFunction",
        )
    ),
    "gained: IAM users of any other account: sqs:SendMessage",
    "gained: roles of any other account: sqs:SendMessage",
}


@dataclass
class Replay:
    """What was asked of the emulator.

    Attributes:
        confirmed: The kinds of changes, and how often each was confirmed.
        contradicted: What the emulator decides otherwise.
        left_out: Why, and how often, it was not asked.
        rewrites: How often the same policies, written differently, were asked.
    """

    confirmed: Counter[str] = field(default_factory=Counter)
    contradicted: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    rewrites: Counter[bool] = field(default_factory=Counter)


def read(lab: Lab) -> Model:
    a, b = lab.session(ACCOUNT_A), lab.session(ACCOUNT_B)
    return deployed.read({"a": a, "b": b}, {"a": STACK_NAMES[ACCOUNT_A], "b": STACK_NAMES[ACCOUNT_B]}, lab.sam.project)


@pytest.fixture(scope="module")
def replay(own_lab: Lab) -> Replay:
    """Witnesses of every tenth fault of a document as the lab deploys it, of every eighth as narrow as it can be."""
    own_lab.role(ACCOUNT_A, "more-executor", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    more = own_lab.session(ACCOUNT_A).client("iam").get_role(RoleName="more-executor")["Role"]
    found = Replay()
    emulator = Emulator(own_lab, read(own_lab), more["Arn"])
    send_witnesses(emulator, found, first=3, step=10)
    try:
        own_lab.deploy(ACCOUNT_A, **NARROWED, MoreExecutorRoleIds=more["RoleId"])
        emulator.model = read(own_lab)
        send_rewrites(emulator, found, send_witnesses(emulator, found, first=1, step=8))
    finally:
        own_lab.deploy(ACCOUNT_A, **AS_BEFORE)
        sqs = own_lab.session(ACCOUNT_B).client("sqs")
        for name in ("CallQueueArn", "FailedCallQueueArn"):
            queue = own_lab.outputs[ACCOUNT_B][name].rpartition(":")[2]
            sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"])
    return found


def send_witnesses(emulator: Emulator, found: Replay, first: int, step: int) -> dict[str, dict[bool, Case]]:
    """Send witnesses before and after the faults; return requests by document, and by whether they were allowed."""
    asked: dict[str, dict[bool, Case]] = {}
    every = (list(some) for _, some in groupby(faults(emulator.model), lambda fault: fault.document))
    for fault in (fault for some in every for fault in some[first::step]):
        sent: list[tuple[Change, Case]] = []
        for change in compare(emulator.model, fault.model):
            try:
                sent.append((change, emulator.request_of(change, fault)))
            except NotExpressibleError as error:
                found.left_out[str(error)] += 1
        before = [emulator.allows(case) for _, case in sent]
        with emulator.holding(fault) if sent else nullcontext():
            after = [emulator.allows(case) for _, case in sent]
        for (change, case), was, now in zip(sent, before, after, strict=True):
            if (was, now) == (not change.gained, change.gained):
                found.confirmed[kind(change, case)] += 1
            else:
                found.contradicted.append(f"{fault.name}: {case}: before {was}, after {now}")
            asked.setdefault(fault.document, {})[was] = case
    return asked


def send_rewrites(emulator: Emulator, found: Replay, asked: dict[str, dict[bool, Case]]) -> None:
    """Send the same requests with the policies written differently."""
    for rewrite in rewrites(emulator.model):
        requests = asked.get(rewrite.document, {})
        with emulator.holding(rewrite) if requests else nullcontext():
            for was, case in requests.items():
                found.rewrites[was] += 1
                if emulator.allows(case) is not was:
                    found.contradicted.append(f"{rewrite.name}: {case}: no longer {was}")


def kind(change: Change, case: Case) -> str:
    return f"{'gained' if change.gained else 'lost'}: {change.who}: {case.action}"


def test_the_emulator_decides_witnesses_as_the_comparison_says(replay: Replay) -> None:
    assert replay.contradicted == []
    assert CONFIRMED - replay.confirmed.keys() == set()
    assert replay.confirmed.total() > 70


def test_rewritten_policies_decide_as_before(replay: Replay) -> None:
    assert min(replay.rewrites[True], replay.rewrites[False]) > 10


def test_what_is_not_asked_of_the_emulator_is_known_and_does_not_grow(replay: Replay) -> None:
    assert {reason: count for reason, count in replay.left_out.items() if count > LEFT_OUT.get(reason, 0)} == {}
