"""`call-api doctor` where only a deployed policy shows what is wrong.

What it makes of each sentence of AWS is in tests/unit/call_api/test_doctor.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials
from click.testing import CliRunner

from call_api.__main__ import main
from cross_account_api.transport import Connections, HttpResponse, Request, Timeout
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION, write_profile
from cross_account_lab.iam import policy
from cross_account_lab.lab import USER, USER_PROFILE, Lab
from tests.support.reports import Report

SIMULATE = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
EVERY_ROUTE = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}

type Doctor = Callable[..., Report]


@pytest.fixture
def examine(own_lab: Lab, tmp_path: Path) -> Doctor:
    """Run doctor with the lab's profile, or with another user as its source and another session name."""
    config = tmp_path / "aws-config"

    def run(*arguments: str, user: Credentials = own_lab.user_key, session_name: str = "") -> Report:
        config.write_text(own_lab.config_file.read_text())
        place = {"region": REGION, "endpoint_url": own_lab.endpoint, "ca_bundle": str(own_lab.ca_file)}
        keys = {"aws_access_key_id": user.access_key, "aws_secret_access_key": str(user.secret_key)}
        write_profile(config, USER, **place, **keys)
        if session_name:
            settings = own_lab.session(USER_PROFILE)._session.get_scoped_config()
            write_profile(config, USER_PROFILE, **settings | {"role_session_name": session_name})
        env = {**own_lab.environment, "AWS_CONFIG_FILE": str(config), "API_URL": own_lab.api_url, "HOME": str(tmp_path)}
        command = ["doctor", "--json", "--profile", USER_PROFILE, *arguments]
        result = CliRunner(mix_stderr=False, env=env).invoke(main, command)
        assert result.stderr == ""
        report = Report(result.exit_code, result.stdout)
        assert result.exit_code == int(bool(report.having("failed")))
        return report

    return run


def test_a_healthy_lab_has_nothing_but_ticks_and_is_sent_nothing_but_get(
    own_lab: Lab, examine: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    send = Connections.send

    def watch(connections: Connections, request: Request, timeout: Timeout) -> HttpResponse:
        sent.append((request.method, request.url, "Authorization" in request.headers))
        return send(connections, request, timeout)

    monkeypatch.setattr(Connections, "send", watch)

    report = examine()

    assert report.having("ok") == list(report.steps)
    assert report.steps["credentials"]["observed"] == f"arn:aws:iam::222222222222:user/{USER}"
    assert sent == [("GET", f"{own_lab.api_url}/echo", False), ("GET", f"{own_lab.api_url}/echo", True)]


def test_account_a_does_not_trust_the_caller_whom_account_b_allows(own_lab: Lab, examine: Doctor) -> None:
    iam = own_lab.session(ACCOUNT_A).client("iam")
    role = own_lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    before: Any = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    narrowed = {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::222222222222:role/*"}}
    statements = [item | {"Condition": item["Condition"] | narrowed} for item in before["Statement"]]
    colleague = own_lab.user(ACCOUNT_B, "colleague", own_lab.may_assume_executor(), SIMULATE)

    iam.update_assume_role_policy(RoleName=role, PolicyDocument=policy(*statements))
    try:
        refused = examine(user=colleague, session_name="222222222222-colleague")
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(before))

    assert refused.having("failed") == ["AssumeRole"]
    assert (refused.causes()["identity policy"], refused.causes()["principal pattern"]) == ("ruled out", "possible")
    remedy = "Account A: one of CallerPrincipalArns must match arn:aws:iam::222222222222:user/colleague."
    assert refused.causes("remedy")["principal pattern"] == remedy
    assert examine(user=colleague, session_name="222222222222-colleague").having("failed") == []


def test_a_stage_or_a_resource_that_does_not_exist(own_lab: Lab, examine: Doctor) -> None:
    stage = examine("--api-url", f"{own_lab.api_url.removesuffix('/v1')}/v9")
    resource = examine("/echo/404")

    assert (stage.having("failed"), resource.having("failed")) == (["stage"], ["backend"])
    assert stage.next.startswith("Account B: check the host and the stage in the API's URL.")
    assert resource.next == "Account B: check the path and the ids in it."


@pytest.mark.parametrize(
    ("statements", "path", "step", "remedy"),
    [
        ([EVERY_ROUTE], "/nowhere", "path", "Account B: the API's stage has no such method and path."),
        (
            [{**EVERY_ROUTE, "Resource": "arn:aws:execute-api:*:*:*/v1/GET/done"}],
            "/echo",
            "permission",
            "Account A: the executor role's policy lacks this method and path. Account B: or the URL is not account",
        ),
        (
            [EVERY_ROUTE, {**EVERY_ROUTE, "Effect": "Deny"}],
            "/echo",
            "permission",
            "Account A: a policy of the executor role denies this method and path. Such a policy suspends a consumer",
        ),
    ],
    ids=["no such path", "not granted", "revoked"],
)
def test_the_executors_policy_does_not_let_it_through(
    own_lab: Lab, examine: Doctor, statements: list[dict[str, str]], path: str, step: str, remedy: str
) -> None:
    iam = own_lab.session(ACCOUNT_A).client("iam")
    role = own_lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy(*statements))
    try:
        report = examine(path)
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))

    assert report.having("failed") == [step]
    assert remedy in report.next


def test_the_resource_policy_denies_even_the_executor(own_lab: Lab, examine: Doctor) -> None:
    gateway = own_lab.session(ACCOUNT_A).client("apigateway")
    api = own_lab.outputs[ACCOUNT_A]["ApiId"]
    # API Gateway gives it as the inside of a JSON string.
    before = json.loads(json.loads(f'"{gateway.get_rest_api(restApiId=api)["policy"]}"'))
    changed = json.loads(json.dumps(before))
    del changed["Statement"][0]["Condition"]

    def deploy(document: object) -> None:
        patch: Any = {"op": "replace", "path": "/policy", "value": json.dumps(document)}
        gateway.update_rest_api(restApiId=api, patchOperations=[patch])
        gateway.create_deployment(restApiId=api, stageName="v1")

    deploy(changed)
    try:
        report = examine()
    finally:
        deploy(before)

    assert report.having("failed") == ["permission"]
    assert report.next.startswith("Account A: the API's resource policy denies this method and path.")
    assert examine().having("failed") == []
