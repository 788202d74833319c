"""What template-access.yaml deploys: one role with the trust policy of account A's executor, for the listed methods."""

import json
import re
from typing import Any

import pytest

from cross_account_access import access_stack
from cross_account_access.documents import Document, document, expand
from cross_account_access.engine.languages import added
from cross_account_access.engine.request import Kind, Request
from cross_account_access.model import load
from cross_account_access.proof import Claim, Property, find, prove
from cross_account_access.templates import ACCOUNTS, PROJECT, of_parameters, present
from tests.templates.stacks import ORGANIZATION, properties, resources, written


def test_the_role_is_account_as_executor_with_a_policy() -> None:
    ours, theirs = properties("ExecutorRole", "access"), properties("ExecutorRole", "a")
    assert ours.keys() - theirs.keys() == {"Policies"}
    assert {name for name in theirs if ours[name] != theirs[name]} == {"Description"}


def test_shared_parameters_and_conditions_mean_the_same() -> None:
    ours, theirs = written("access"), written("a")
    shared = set(ours["Parameters"]) & set(theirs["Parameters"])
    assert set(ours["Parameters"]) - shared == {
        "GrantedMethodArns",
        "ConsumerOrganizationId",
        "ConsumerOrganizationPaths",
    }
    for name in shared - {"ConsumerAccountIds"}:
        assert ours["Parameters"][name] == theirs["Parameters"][name], name
    for name in set(ours["Conditions"]) & set(theirs["Conditions"]):
        assert ours["Conditions"][name] == theirs["Conditions"][name], name


def test_there_is_one_role_and_nothing_else() -> None:
    (only,) = resources("access").values()
    assert only["Type"] == "AWS::IAM::Role"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"SuspendedConsumerIds": ["222222222222", "333333333333"]},
        ORGANIZATION | {"ConsumerAccountIds": [""]},
        {"AllowIdentityCenterUsers": "false"},
    ],
    ids=["accounts", "suspended", "organization", "no Identity Center"],
)
def test_what_is_proven_holds_for_accounts_and_for_an_organization(given: dict[str, Any]) -> None:
    model = load(access=given)
    verdicts = [prove(item, model) for item in access_stack.PROPERTIES]
    assert [verdict.counterexample for verdict in verdicts if not verdict.proven] == []


# Entries in which IAM's asterisk, which matches anything, reaches no further than it seems to: API, stage and method
# are written out, and it replaces a whole part of the path. Independent of the template's pattern and compared with it.
SPELLED_OUT = (
    r"arn:[a-z-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[a-z0-9]+/[A-Za-z0-9_$-]+/[A-Z]+/"
    r"(([^*?/$]*|\*)/)*([^*?/$]*|\*)"
)


def test_the_pattern_accepts_only_entries_that_are_spelled_out() -> None:
    pattern = written("access")["Parameters"]["GrantedMethodArns"]["AllowedPattern"]
    assert added({"AllowedPattern": SPELLED_OUT}, {"AllowedPattern": pattern}) is None
    more = added({"AllowedPattern": SPELLED_OUT}, {"AllowedPattern": pattern.replace("(GET|", "([A-Z*]+|")})
    assert more
    assert not re.fullmatch(SPELLED_OUT, more)


ROLE_IDS = ("AROAEXECUTORROLEOFB01", "AROAEXECUTORROLEOFC01")
API = f"arn:aws:execute-api:eu-west-1:{ACCOUNTS['a']}:a1b2c3d4e5/"


def guarded(kind: Kind, *statements: Document) -> Claim:
    """Who may call an API with such a policy, whatever their own policies say."""
    policy = expand(document([*statements]), API)
    return access_stack.guard_claim(Request(kind, {}), policy, [f"{API}*"], ACCOUNTS["a"], ROLE_IDS)


def test_guards_of_several_roles_admit_their_sessions_and_nobody_else_if_the_ids_are_in_one_list() -> None:
    stacks = [present(of_parameters("access", {}, physical={"ExecutorRole.RoleId": role_id})) for role_id in ROLE_IDS]
    guards = [json.loads(stack["Outputs"]["GuardStatement"]["Value"]) for stack in stacks]
    user_ids = [pattern for guard in guards for pattern in guard["Condition"]["StringNotLike"]["aws:userid"]]
    merged = {**guards[0], "Condition": {"StringNotLike": {"aws:userid": user_ids}}}

    right = prove(Property("", lambda _, kind: [guarded(kind, merged)]), load())
    apart = [guarded(kind, *guards) for kind in Kind]

    assert right.proven, right.counterexample
    assert not any(find(claim, claim.allowed) for claim in apart), "two statements shut out both roles"


@pytest.mark.parametrize("name", ["access", "deploy-role"])
def test_readers_other_than_cloudformation_understand_the_rules(name: str) -> None:
    """CDK's and others' YAML readers drop the short forms of functions that only rules have."""
    text = (PROJECT / f"template-{name}.yaml").read_text()

    assert re.findall(r"!(EachMember\w+|Contains|RefAll|ValueOf\w*)", text) == []
    assert "Transform" not in text
