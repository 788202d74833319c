"""The policies in docs/policies for an organization and for a VPC endpoint leave one way open, and no other."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import z3
from botocore.validate import ParamValidator

from cross_account_access.engine.evaluator import allowed, identity_allows
from cross_account_access.engine.fields import FALSE, all_of, any_of
from cross_account_access.engine.request import Kind, Request
from cross_account_access.templates import PROJECT
from tests.templates.access.mutations import changes
from tests.templates.access.test_lint import issues

PROVIDER, CONSUMER = "111111111111", "222222222222"
EXECUTOR = f"arn:aws:iam::{PROVIDER}:role/orders-api-ExecutorRole-1A2B3C4D5E6F"
ASSUME = ("sts:assumerole", "sts:setsourceidentity", "sts:tagsession")
ROUTES = [f"arn:aws:execute-api:eu-west-1:{PROVIDER}:a1b2c3d4e5/v1/GET/{path}" for path in ("whoami", "orders")]
EVERYTHING = {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}
TYPES = {"rcp": "RESOURCE_CONTROL_POLICY", "scp": "SERVICE_CONTROL_POLICY", "endpoint": "RESOURCE_POLICY"}

type Statements = list[dict[str, Any]]


def snippet(name: str) -> Any:
    return json.loads((PROJECT / f"docs/policies/{name}.json").read_text())


def is_in(request: Request, organization: str, *, of: str) -> Any:
    key = request.key(of)
    return all_of(key.present, key.like(organization))


def resource_control(request: Request, statements: Statements) -> Any:
    """Which requests it leaves open, and for which it should."""
    by_service = request.key("aws:PrincipalIsAWSService")
    way = all_of(request.is_of(CONSUMER), request.resource.like(EXECUTOR))
    inside = is_in(request, "o-aaaaaaaaaa", of="aws:PrincipalOrgID")
    service = all_of(by_service.present, z3.Not(by_service.like("false")))
    intended = any_of(z3.Not(request.action.like(*ASSUME)), inside, way, service)
    return allowed(request, [EVERYTHING | {"Principal": "*"}, *statements], owner=PROVIDER) == intended


def service_control(request: Request, statements: Statements) -> Any:
    inside = is_in(request, "o-bbbbbbbbbb", of="aws:ResourceOrgID")
    intended = any_of(z3.Not(request.action.like(*ASSUME)), inside, request.resource.like(EXECUTOR))
    return identity_allows(request, [EVERYTHING, *statements]) == intended


def endpoint(request: Request, statements: Statements) -> Any:
    called = all_of(request.action.like("execute-api:invoke"), request.resource.like(*ROUTES))
    intended = all_of(request.is_session_of(EXECUTOR), called)
    return allowed(request, statements, owner=PROVIDER, identity=FALSE) == intended


CLAIMS: dict[str, Callable[[Request, Statements], Any]] = {
    "rcp": resource_control,
    "scp": service_control,
    "endpoint": endpoint,
}


def counterexample(name: str, statements: Statements) -> Kind | None:
    """A kind of principal for which a policy is not what it should be."""
    for kind in Kind:
        request = Request(kind, {EXECUTOR: "AROAEXECUTOR"})
        claim = CLAIMS[name](request, statements)
        solver = z3.Solver()
        solver.add(request.guarantees, z3.Not(claim))
        if solver.check() == z3.sat:
            return kind
        assert solver.check() == z3.unsat
    return None


@pytest.mark.parametrize("name", CLAIMS)
def test_a_guardrail_leaves_one_way_open_and_no_other(name: str) -> None:
    assert counterexample(name, snippet(name)["Statement"]) is None


@pytest.mark.parametrize("name", CLAIMS)
def test_every_slip_in_a_guardrail_is_found(name: str) -> None:
    statements: Statements = snippet(name)["Statement"]
    alive, count = [], 0
    for index, statement in enumerate(statements):
        for what, wrong in changes(statement, PROVIDER):
            count += 1
            if counterexample(name, [*statements[:index], *wrong, *statements[index + 1 :]]) is None:
                alive.append(what)
    assert count > 10
    # An absent key matches either way; another principal is refused by the condition.
    assert [what for what in alive if not re.search(r"with ForAllValues:\w+IfExists|principal \d+ added", what)] == []


@pytest.mark.parametrize("name", CLAIMS)
def test_the_linter_finds_no_fault_in_a_guardrail(name: str, services: Path, tmp_path: Path) -> None:
    (tmp_path / f"{name}.json").write_text(json.dumps(snippet(name)))
    # AWS's own examples write IfExists with these keys.
    accepted = ["ifexists_on_always_present_key"] if name == "rcp" else []
    assert [issue for _, issue in issues(tmp_path, TYPES[name], services)] == accepted


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
