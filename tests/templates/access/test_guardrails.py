"""The policies in docs/policies for an organization and for a VPC endpoint leave one way open, and no other."""

import json
import re
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
import z3
from botocore.validate import ParamValidator

from cross_account_access.engine.evaluator import allowed, identity_allows
from cross_account_access.engine.fields import FALSE, TRUE, all_of, any_of
from cross_account_access.engine.request import Kind, Request
from cross_account_access.proof import Claim, refutation
from cross_account_access.templates import PROJECT
from tests.templates.access.mutations import changes

PROVIDER, CONSUMER = "111111111111", "222222222222"
EXECUTOR = f"arn:aws:iam::{PROVIDER}:role/orders-api-ExecutorRole-1A2B3C4D5E6F"
ASSUME = ("sts:assumerole", "sts:setsourceidentity", "sts:tagsession")
ROUTES = [f"arn:aws:execute-api:eu-west-1:{PROVIDER}:a1b2c3d4e5/v1/GET/{path}" for path in ("whoami", "orders")]
EVERYTHING = {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}

type Statements = list[dict[str, Any]]


def snippet(name: str) -> Any:
    return json.loads((PROJECT / f"docs/policies/{name}.json").read_text())


def is_in(request: Request, organization: str, *, of: str) -> Any:
    key = request.key(of)
    return all_of(key.present, key.like(organization))


def resource_control(request: Request, statements: Statements) -> Claim:
    """Which requests it leaves open, and for which it should."""
    by_service = request.key("aws:PrincipalIsAWSService")
    way = all_of(request.is_of(CONSUMER), request.resource.like(EXECUTOR))
    inside = is_in(request, "o-aaaaaaaaaa", of="aws:PrincipalOrgID")
    service = all_of(by_service.present, z3.Not(by_service.like("false")))
    intended = any_of(z3.Not(request.action.like(*ASSUME)), inside, way, service)
    decision = allowed(request, [EVERYTHING | {"Principal": "*"}, *statements], owner=PROVIDER)
    return Claim(request, TRUE, decision, intended, intended)


def service_control(request: Request, statements: Statements) -> Claim:
    inside = is_in(request, "o-bbbbbbbbbb", of="aws:ResourceOrgID")
    intended = any_of(z3.Not(request.action.like(*ASSUME)), inside, request.resource.like(EXECUTOR))
    return Claim(request, TRUE, identity_allows(request, [EVERYTHING, *statements]), intended, intended)


def endpoint(request: Request, statements: Statements) -> Claim:
    called = all_of(request.action.like("execute-api:invoke"), request.resource.like(*ROUTES))
    intended = all_of(request.is_session_of(EXECUTOR), called)
    decision = allowed(request, statements, owner=PROVIDER, identity=FALSE)
    return Claim(request, TRUE, decision, intended, intended)


CLAIMS: dict[str, Callable[[Request, Statements], Claim]] = {
    "rcp": resource_control,
    "scp": service_control,
    "endpoint": endpoint,
}


def counterexample(name: str, statements: Statements) -> str:
    """A request for which a policy is not what it should be."""
    requests = (Request(kind, {EXECUTOR: "AROAEXECUTOR"}) for kind in Kind)
    return next(filter(None, (refutation(CLAIMS[name](request, statements)) for request in requests)), "")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_guardrail_leaves_one_way_open_and_no_other(name: str) -> None:
    assert counterexample(name, snippet(name)["Statement"]) == ""


@pytest.mark.parametrize("name", CLAIMS)
def test_every_slip_in_a_guardrail_is_found(name: str) -> None:
    statements: Statements = snippet(name)["Statement"]
    alive, count = [], 0
    for index, statement in enumerate(statements):
        for what, wrong in changes(statement, PROVIDER):
            count += 1
            if not counterexample(name, [*statements[:index], *wrong, *statements[index + 1 :]]):
                alive.append(what)
    assert count > 10
    # An absent key matches either way; another principal is refused by the condition.
    assert [what for what in alive if not re.search(r"with ForAllValues:\w+IfExists|principal \d+ added", what)] == []


def test_the_archive_rule_is_for_the_executor_and_one_consumer() -> None:
    rule = snippet("archive-rule")
    assert rule == {
        "resource": {"eq": [EXECUTOR]},
        "principal.AWS": {"eq": [CONSUMER]},
        "isPublic": {"eq": ["false"]},
    }
    model = botocore.session.get_session().get_service_model("accessanalyzer").operation_model("CreateArchiveRule")
    assert model.input_shape
    given = {"analyzerName": "a", "ruleName": "orders-executor", "filter": rule, "clientToken": "x"}
    assert not ParamValidator().validate(given, model.input_shape).has_errors()


def test_the_events_of_data_that_the_page_selects_are_a_request() -> None:
    selectors = snippet("data-events")
    model = botocore.session.get_session().get_service_model("cloudtrail").operation_model("PutEventSelectors")
    assert model.input_shape
    given = {"TrailName": "trail", "AdvancedEventSelectors": selectors}
    assert not ParamValidator().validate(given, model.input_shape).has_errors()
    # With only data events, a trail would no longer log management events.
    categories = [
        field["Equals"] for one in selectors for field in one["FieldSelectors"] if field["Field"] == "eventCategory"
    ]
    assert sorted(categories) == [["Data"], ["Data"], ["Management"]]
