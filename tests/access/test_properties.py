"""The facts hold for every request there is; none is empty; and every seeded fault contradicts one of them."""

from __future__ import annotations

import re

import pytest
import z3
from access.policies import STRICT, Intent, Policies, from_templates

from access.iam import Kind
from access.properties import FACTS, Fact, find, prove, reads
from tests.access.mutations import faults

INTENTS = {"defaults": Intent(), "strict": STRICT, "another stage, without MFA": Intent(mfa=False, stage="v2")}


@pytest.mark.parametrize("intent", INTENTS.values(), ids=INTENTS)
@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.sentence[:60])
def test_the_templates_policies_do_exactly_what_is_claimed(fact: Fact, intent: Intent) -> None:
    verdict = prove(fact, from_templates(intent))
    assert verdict.proven, verdict.counterexample


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.sentence[:60])
def test_the_deployed_policies_do_exactly_what_is_claimed(fact: Fact, deployed: Policies) -> None:
    verdict = prove(fact, deployed)
    assert verdict.proven, verdict.counterexample


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.sentence[:60])
def test_no_fact_is_empty(fact: Fact) -> None:
    """Of the requests that it speaks about, some are refused and, unless it says nobody, some are allowed."""
    claims = [fact.claim(from_templates(STRICT), kind) for kind in Kind]
    assert any(find(claim, z3.Not(claim.allowed)) for claim in claims)
    some_allowed = any(find(claim, claim.allowed) for claim in claims)
    assert some_allowed != ("can call the API" in fact.sentence)


# Faults that no fact can see, because they change nothing that anybody could do; each with the reason.
HARMLESS = {
    r".* (aws:PrincipalType|aws:PrincipalArn|sts:RoleSessionName|aws:SecureTransport|aws:userid) with"
    r" (\w+IfExists|ForAllValues:\w+)": "the key is present in every such request",
    r"ExecutorRole trust: \w+: aws:PrincipalType with its first half and \*": "no other type of principal begins so",
    r"OrdersApi resource: .*: principal narrowed to the own account": "nothing allows the other accounts anyway",
    r"OrdersApi resource: Allow for a (stranger|service) added": "the Deny refuses them all the same",
    r"OrdersFunction resource: .*: (every resource|.* with \* at the end|.* widened to \*)": (
        "a function's policy speaks about this function only"
    ),
}


def test_every_seeded_fault_contradicts_a_fact() -> None:
    deployments = [from_templates(intent) for intent in (STRICT, Intent())]
    readers = {
        document: [fact for fact in FACTS if document in reads(fact, deployments[0])]
        for document in deployments[0].documents
    }
    alive: set[str] = set()
    killed: dict[str, str] = {}
    for policies in deployments:
        for fault in faults(policies):
            if fault.name in killed:
                continue
            verdicts = (prove(fact, fault.policies) for fact in readers[fault.document])
            refuted = next((verdict for verdict in verdicts if not verdict.proven), None)
            if refuted:
                killed[fault.name] = refuted.counterexample
            else:
                alive.add(fault.name)
    alive -= set(killed)
    assert not {name for name in alive if not any(re.fullmatch(rule, name) for rule in HARMLESS)}
    assert not {rule for rule in HARMLESS if not any(re.fullmatch(rule, name) for name in alive)}
    assert len(killed) > 400
    for counterexample in killed.values():
        assert re.fullmatch(
            r"(allowed, but not intended|intended, but not allowed): .+ does .+ on .+, with .+", counterexample
        )
