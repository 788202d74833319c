"""The policies of a deployment: read back, they are the templates', of which the properties are proven."""

import json
from typing import Any

import boto3
import pytest

from cross_account_access import deployed
from cross_account_access.documents import Document, document
from cross_account_access.model import Model, assemble, load
from cross_account_access.stack import from_template
from cross_account_access.templates import PROJECT, Side
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES, Lab
from tests.support.stacks import grant


def test_the_deployment_has_the_policies_of_the_templates_and_no_other(lab: Lab) -> None:
    sessions: dict[Side, boto3.Session] = {"a": lab.session(ACCOUNT_A), "b": lab.session(ACCOUNT_B)}
    read_back = deployed.read(sessions, {"a": STACK_NAMES[ACCOUNT_A], "b": STACK_NAMES[ACCOUNT_B]})
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


def test_a_stack_that_is_missing_or_of_another_template_is_an_error(lab: Lab) -> None:
    with pytest.raises(deployed.ReadError, match="no-such-stack"):
        deployed.read({"a": lab.session(ACCOUNT_A)}, {"a": "no-such-stack", "b": STACK_NAMES[ACCOUNT_B]})
    with pytest.raises(deployed.ReadError, match="has parameters that the template does not have"):
        deployed.read({"a": lab.session(ACCOUNT_B)}, {"a": STACK_NAMES[ACCOUNT_B], "b": ""})


def test_a_policy_that_was_added_by_hand_is_read_as_well(lab: Lab) -> None:
    session, arn = lab.session(ACCOUNT_A), "arn:aws:execute-api:eu-west-1:111111111111:a1b2c3d4e5/prod/GET/a"
    role = grant(lab, "shop-access", ACCOUNT_B, [arn], "of-a-shop")["ExecutorRoleArn"].rpartition("/")[2]
    more = {"Sid": "More", "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    session.client("iam").put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=json.dumps(document([more])))

    model = deployed.read({"access": session}, {"a": "", "b": "", "access": "shop-access"})

    assert "More" in [statement.get("Sid") for found in model.documents.values() for statement in found["Statement"]]
