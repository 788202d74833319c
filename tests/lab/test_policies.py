"""The policies of a deployment: read back, they are the templates', have every property, and decide as intended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from cross_account_access import deployed, matrix
from cross_account_access.__main__ import main
from cross_account_access.documents import Document, document
from cross_account_access.model import Model, assemble, load
from cross_account_access.proof import Property, prove
from cross_account_access.properties import PROPERTIES
from cross_account_access.stack import from_template
from cross_account_access.templates import PROJECT, Side
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from cross_account_lab.lab import STACK_NAMES, Lab
from tests.lab.foreign.apis import deploy_access, outputs
from tests.templates.access.cases import METHODS, assumptions, calls

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient


@pytest.fixture(scope="session")
def read_back(lab: Lab) -> Model:
    """The policies as they are after a real deployment."""
    sessions: dict[Side, boto3.Session] = {"a": lab.session(ACCOUNT_A), "b": lab.session(ACCOUNT_B)}
    return deployed.read(sessions, {"a": STACK_NAMES[ACCOUNT_A], "b": STACK_NAMES[ACCOUNT_B]})


def test_the_deployment_has_the_policies_of_the_templates_and_no_other(lab: Lab, read_back: Model) -> None:
    expected = templates_of(read_back)
    assert set(read_back.documents) == set(expected.documents)
    for name in read_back.documents:
        assert canonical(read_back[name]) == canonical(expected[name]), name
    assert [(str(route), route.authorizer, route.function, route.granted) for route in read_back.routes] == [
        (str(route), route.authorizer, route.function, route.granted) for route in load().routes
    ]


def templates_of(read_back: Model) -> Model:
    """Make the model of the templates with a deployment's names and parameters."""
    a, b = (
        from_template(side, PROJECT, stack.account, stack.region, dict(stack.parameters), physical=stack.physical)
        for side, stack in read_back.stacks.items()
    )
    return assemble(PROJECT, a, b)


def canonical(document: Document) -> list[Any]:
    """Leave out what means nothing: the order of statements, a list around one value, ids that Lambda makes up."""
    statements = []
    for statement in document["Statement"]:
        plain = {key: _plain(value) for key, value in statement.items() if value}
        if isinstance(plain.get("Principal"), dict) and plain["Principal"].get("Service") == "apigateway.amazonaws.com":
            del plain["Sid"]
        statements.append(plain)
    return sorted(statements, key=str)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return value[0] if len(value) == 1 else sorted(value)
    return value


def test_an_account_without_the_stack_is_an_error(lab: Lab) -> None:
    with pytest.raises(deployed.ReadError, match="no-such-stack"):
        deployed.read({"a": lab.session(ACCOUNT_A)}, {"a": "no-such-stack", "b": STACK_NAMES[ACCOUNT_B]})


def test_a_stack_of_another_template_is_an_error(lab: Lab) -> None:
    with pytest.raises(deployed.ReadError, match="has parameters that the template does not have"):
        deployed.read({"a": lab.session(ACCOUNT_B)}, {"a": STACK_NAMES[ACCOUNT_B], "b": ""})


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda item: item.sentence[:60])
def test_the_deployed_policies_have_every_property(prop: Property, read_back: Model) -> None:
    verdict = prove(prop, read_back)
    assert verdict.proven, verdict.counterexample


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


@pytest.fixture
def environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command reach the lab, as a user's environment lets it reach AWS."""
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("sides", [("a",), ("b",), ("a", "b")])
def test_the_command_reads_deployed_policies_with_profiles(
    sides: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles = {"a": ACCOUNT_A, "b": ACCOUNT_B}
    options = [option for side in sides for option in (f"--profile-{side}", profiles[side])]
    assert main([*options, "--output", str(tmp_path / "page.html")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("as deployed in stack") == len(sides)


@pytest.fixture
def access_stack_name(lab: Lab) -> Iterator[str]:
    arns = [f"arn:aws:execute-api:eu-west-1:111111111111:a1b2c3d4e5/prod/{call}" for call in ("GET/a", "POST/a/*/b")]
    given = {"ConsumerAccountIds": "222222222222", "ExternalId": "of-a-shop", "SuspendedConsumerIds": "444444444444"}
    deploy_access(lab, "shop-access", GrantedMethodArns=",".join(arns), **given)
    yield "shop-access"
    lab.session(ACCOUNT_A).client("cloudformation").delete_stack(StackName="shop-access")


@pytest.mark.usefixtures("environment")
def test_the_command_reads_a_deployed_access_stack(
    lab: Lab, access_stack_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--profile-access", ACCOUNT_A, "--stack-access", access_stack_name]
    page = tmp_path / "page.html"
    assert main([*options, "--output", str(page)]) == 0
    assert f"as deployed in stack {access_stack_name}, for 222222222222: arn:aws:iam::111111111111" in page.read_text()
    assert "POST /a/*/b" in page.read_text()

    iam = lab.session(ACCOUNT_A).client("iam")
    role = outputs(lab, ACCOUNT_A, access_stack_name)["ExecutorRoleArn"].rpartition("/")[2]
    more = {"Sid": "More", "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=json.dumps(document([more])))
    capsys.readouterr()
    assert main([*options, "--output", str(page)]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "DELETE /not-listed (access stack): allowed, but not intended." in shown
    assert "refuted An access stack's role may call the methods that GrantedMethodArns lists" in shown
