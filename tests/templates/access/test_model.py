"""The model of the templates, and of another API in them."""

import json
from pathlib import Path

import pytest
import yaml

from cross_account_access.contract import Example
from cross_account_access.documents import UnknownPolicyError
from cross_account_access.engine.transform import NotTransformedError
from cross_account_access.model import load
from cross_account_access.stack import ModelError
from cross_account_access.templates import transformed
from cross_account_lab import workarounds
from cross_account_lab.accounts import ACCOUNT_B, ACCOUNT_IDS
from tests.templates.access import second_api
from tests.templates.access.test_properties import Change, added, change_a, changed, copied


def test_the_routes_of_another_api(second: Path) -> None:
    model = load(second)
    assert [str(route) for route in model.routes] == [
        "GET /teas",
        "POST /teas",
        "DELETE /teas",
        "GET /teas/{tea_id}",
        "PUT /teas/{tea_id}/steeps/{number}",
    ]
    assert {str(route) for route in model.routes if route.granted} == set(second_api.GRANTED)
    assert {str(route) for route in model.routes if route.promised} == set(second_api.GRANTED)
    assert {route.authorizer for route in model.routes} == {"AWS_IAM"}
    functions = {str(route): route.function for route in model.routes}
    assert functions.pop("DELETE /teas") == "BrewFunction"
    assert set(functions.values()) == {"TeaFunction"}
    assert (model.api, model.stage, model.executor.name) == ("TeaApi", "v1", "ExecutorRole")


def test_examples_are_taken_from_wherever_openapi_has_them(second: Path) -> None:
    examples = {str(route): route.example for route in load(second).routes}
    assert examples["GET /teas"] == Example("/teas", query={"leaf": "black"})
    assert examples["GET /teas"].target == "/teas?leaf=black"
    assert examples["POST /teas"] == Example("/teas", headers={"idempotency-key": "brew-1"}, body={"leaf": "green"})
    assert examples["POST /teas"].idempotency_key == "brew-1"
    assert examples["DELETE /teas"].idempotency_key is None
    assert examples["GET /teas/{tea_id}"].path == "/teas/assam"
    steep = examples["PUT /teas/{tea_id}/steeps/{number}"]
    assert steep == Example("/teas/lapsang souchong/steeps/2", body={"seconds": 90})
    assert steep.target == "/teas/lapsang%20souchong/steeps/2"


def test_documented_statuses(second: Path) -> None:
    routes = {str(route): route for route in load(second).routes}
    assert (routes["POST /teas"].status, routes["POST /teas"].statuses) == (201, frozenset({201, 409}))
    assert routes["DELETE /teas"].status == 204


def test_without_a_contract_nothing_is_promised(second: Path, tmp_path: Path) -> None:
    folder = copied(second, tmp_path)
    (folder / "docs/openapi.yaml").unlink()
    routes = {str(route): route for route in load(folder).routes}
    assert {route.promised for route in routes.values()} == {None}
    assert routes["GET /teas/{tea_id}"].example == Example("/teas/tea_id")


def test_a_template_without_an_executor_role_is_an_error(second: Path, tmp_path: Path) -> None:
    folder = copied(second, tmp_path)
    path = folder / "template-account-a.yaml"
    template = yaml.safe_load(path.read_text())
    del template["Outputs"]["ExecutorRoleArn"]
    path.write_text(json.dumps(template))
    with pytest.raises(ModelError, match="The output ExecutorRoleArn of account A's template names no AWS::IAM::Role"):
        load(folder)


OPEN = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


@pytest.mark.parametrize(
    "change",
    [
        changed("TeaFunctionRole", ManagedPolicyArns=["arn:aws:iam::aws:policy/PowerUserAccess"]),
        added("AWS::Backup::BackupVault", BackupVaultName="vault", AccessPolicy={"Statement": [OPEN]}),
        added("AWS::CloudFormation::Stack", TemplateURL="https://example.com/template.yaml"),
        added("Custom::Grant", ServiceToken="arn:aws:lambda:eu-west-1:111111111111:function:grant"),
        changed("TeaApi", Policy={"Statement": [OPEN | {"Principal": {"AWS": "{{resolve:ssm:/a}}"}}]}),
    ],
    ids=["managed policy", "a vault's policy", "nested stack", "custom resource", "dynamic reference"],
)
def test_a_policy_that_nothing_would_judge_is_not_overlooked(change: Change, second: Path, tmp_path: Path) -> None:
    with pytest.raises((UnknownPolicyError, NotTransformedError)):
        _ = change_a(copied(second, tmp_path), change).routes


# --- A deployment -----------------------------------------------------------------------------------------------------


def test_what_the_lab_asks_otherwise_changes_nothing_but_session_names_and_mfa() -> None:
    """What is proven of the defaults, and cannot be deployed in the lab, differs in these two conditions only."""
    asked = {
        name: value
        for name, value in workarounds.provider_parameters([ACCOUNT_IDS[ACCOUNT_B]]).items()
        if name in parameters()
    }
    lab, defaults = load(a=asked), load()
    assert [name for name in lab.documents if lab[name] != defaults[name]] == ["ExecutorRole trust"]
    for one, other in zip(
        lab["ExecutorRole trust"]["Statement"], defaults["ExecutorRole trust"]["Statement"], strict=True
    ):
        one_condition, other_condition = dict(one["Condition"]), dict(other["Condition"])
        for name in ("StringLike", "Bool"):
            one_condition.pop(name, None)
            other_condition.pop(name, None)
        assert (one | {"Condition": one_condition}) == (other | {"Condition": other_condition})


def parameters() -> set[str]:
    return set(transformed("a")["Parameters"])
