"""What template-access.yaml deploys: one role with the trust policy of account A's executor, for the listed methods."""

import re
from typing import Any

import pytest

from cross_account_access import access_stack
from cross_account_access.model import load
from cross_account_access.proof import prove
from cross_account_access.templates import PROJECT
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


@pytest.mark.parametrize("name", ["access", "deploy-role"])
def test_readers_other_than_cloudformation_understand_the_rules(name: str) -> None:
    """CDK's and others' YAML readers drop the short forms of functions that only rules have."""
    text = (PROJECT / f"template-{name}.yaml").read_text()

    assert re.findall(r"!(EachMember\w+|Contains|RefAll|ValueOf\w*)", text) == []
    assert "Transform" not in text
