"""`call-api doctor` where only a deployed policy, session or signature shows what is wrong.

What it makes of each sentence of AWS is in tests/unit/call_api/test_doctor.py.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import time_machine
from botocore.credentials import Credentials
from click.testing import CliRunner

from call_api.__main__ import main
from cross_account_api.transport import Connections, HttpResponse, Request, Timeout
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION, write_profile
from cross_account_lab.iam import policy
from cross_account_lab.lab import USER, USER_PROFILE, Lab

SIMULATE = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
EVERY_ROUTE = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
# A profile that has credentials and no role.
NO_ROLE: dict[str, str | None] = dict.fromkeys(("source_profile", "role_arn", "external_id", "role_session_name"))


class Report:
    """What doctor found."""

    def __init__(self, text: str) -> None:
        found = json.loads(text)
        self.next: str = found["next"]
        self.steps: dict[str, dict[str, Any]] = {step["step"]: step for step in found["steps"]}

    def failed(self) -> list[str]:
        return [name for name, step in self.steps.items() if step["status"] == "failed"]

    def causes(self, part: str = "likelihood") -> dict[str, str]:
        return {cause["name"]: cause[part] for cause in self.steps["AssumeRole"]["causes"]}


type Doctor = Callable[..., Report]
type Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def examine(own_lab: Lab, tmp_path: Path) -> Doctor:
    """Run doctor with a profile whose settings are changed (None takes one away), and with another user."""
    config = tmp_path / "aws-config"

    def run(*arguments: str, user: Credentials | None = None, **changes: str | None) -> Report:
        config.write_text(own_lab.config_file.read_text())
        who = user or own_lab.user_key
        keys = {
            "aws_access_key_id": who.access_key,
            "aws_secret_access_key": who.secret_key,
            "aws_session_token": who.token,
        }
        place = {"region": REGION, "endpoint_url": own_lab.endpoint, "ca_bundle": str(own_lab.ca_file)}
        write_profile(config, "source", **place, **{name: value for name, value in keys.items() if value})
        settings: dict[str, str | None] = own_lab.session(USER_PROFILE)._session.get_scoped_config()
        settings |= {"source_profile": "source", **changes}
        if not settings["source_profile"]:
            settings |= keys
        write_profile(config, USER_PROFILE, **{name: value for name, value in settings.items() if value})
        env = {**own_lab.environment, "AWS_CONFIG_FILE": str(config), "API_URL": own_lab.api_url, "HOME": str(tmp_path)}
        result = CliRunner(mix_stderr=False, env=env).invoke(
            main, ["doctor", "--json", "--profile", USER_PROFILE, *arguments]
        )
        assert result.stderr == ""
        report = Report(result.stdout)
        assert result.exit_code == int(bool(report.failed()))
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

    assert {step["status"] for step in report.steps.values()} == {"ok"}
    assert report.steps["credentials"]["observed"] == f"arn:aws:iam::222222222222:user/{USER}"
    assert sent == [("GET", f"{own_lab.api_url}/echo", False), ("GET", f"{own_lab.api_url}/echo", True)]


# --- Who calls --------------------------------------------------------------------------------------------------------


def test_the_callers_own_credentials_are_judged_by_what_sts_says(own_lab: Lab, examine: Doctor) -> None:
    me = own_lab.assume_executor(own_lab.user_key, f"222222222222-{USER}")
    short = own_lab.assume_executor(own_lab.user_key, f"222222222222-{USER}", seconds=1)
    sleep(1.1)

    for user, remedy in (
        (Credentials(own_lab.user_key.access_key, "x" * 40), "the caller's own credentials are not valid: the secret"),
        (short, "the caller's own credentials have expired: get new ones."),
        (Credentials(me.access_key, me.secret_key), "set AWS_SESSION_TOKEN or aws_session_token"),
    ):
        report = examine(user=user, **NO_ROLE)
        assert report.failed() == ["credentials"]
        assert report.next.startswith(f"Account B: {remedy}")
        assert report.steps["permission"]["status"] == "not tried"


@pytest.mark.parametrize(("minutes", "words"), [(-20, "behind STS"), (20, "ahead of STS")])
def test_the_clock_is_wrong(examine: Doctor, minutes: int, words: str) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=minutes), tick=True):
        report = examine()

    assert report.failed()[:2] == ["clock", "credentials"]
    seconds, _, off = report.steps["clock"]["observed"].partition(" s ")
    assert (off, round(int(seconds) / 60)) == (words, 20)
    assert report.next == report.steps["credentials"]["remedy"] == "Account B: set the clock."


# --- "is not authorized to perform: sts:AssumeRole" -------------------------------------------------------------------


def test_neither_side_shows_that_it_refuses(examine: Doctor) -> None:
    report = examine(external_id="wrong")

    assert report.failed() == ["AssumeRole"]
    causes = [
        "MFA",
        "ExternalId",
        "identity policy",
        "role ARN",
        "trusted account",
        "principal pattern",
        "session name",
    ]
    assert report.causes() == dict.fromkeys(causes, "possible")
    assert report.next == "STS does not say which of these it is. The likeliest: " + report.causes("remedy")["MFA"]


@pytest.mark.parametrize(
    ("changes", "cause", "remedy"),
    [
        ({"role_session_name": "my-user"}, "session name", "Account B: set role_session_name"),
        ({"external_id": None}, "ExternalId", "Account B: external_id must be account A's output ExternalId"),
    ],
)
def test_a_setting_that_explains_the_refusal_is_found(
    examine: Doctor, changes: dict[str, str | None], cause: str, remedy: str
) -> None:
    report = examine(**changes)

    assert report.failed()[-1] == "AssumeRole"
    assert report.causes()[cause] == "found"
    assert report.next.startswith(remedy)


@pytest.fixture(scope="module")
def colleague(own_lab: Lab) -> Credentials:
    """A user who may assume the role, and may see that account B is not to blame."""
    return own_lab.user(ACCOUNT_B, "colleague", own_lab.may_assume_executor(), SIMULATE)


@contextmanager
def trust(lab: Lab, change: Change) -> Iterator[None]:
    """Change every statement of the executor role's trust policy for a while."""
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    before = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    changed = json.loads(json.dumps(before))
    for statement in changed["Statement"]:
        change(statement)
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(changed))
    try:
        yield
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(before))


def demand(operator: str, key: str, value: str) -> Change:
    return lambda statement: statement["Condition"].update({operator: {key: value}})


@pytest.mark.parametrize(
    ("change", "cause", "remedy"),
    [
        (
            lambda statement: statement.update(Principal={"AWS": "333333333333"}),
            "trusted account",
            "Account A: ConsumerAccountIds must have 222222222222.",
        ),
        (
            demand("ArnLike", "aws:PrincipalArn", "arn:aws:iam::222222222222:role/*"),
            "principal pattern",
            "Account A: one of CallerPrincipalArns must match arn:aws:iam::222222222222:user/colleague.",
        ),
        (
            demand("StringLike", "sts:RoleSessionName", "222222222222-jobs-*"),
            "session name",
            "Account A: if ConsumerSessionName is narrower than its default, it must match 222222222222-colleague.",
        ),
        (
            demand("Bool", "aws:MultiFactorAuthPresent", "true"),
            "MFA",
            "Account B: unless account A's RequireMfaForUsers is false, set mfa_serial to a virtual (TOTP) device; "
            "passkeys and security keys give no codes.",
        ),
    ],
    ids=["account", "principal", "session name", "MFA"],
)
def test_account_a_does_not_trust_the_caller(
    own_lab: Lab, examine: Doctor, colleague: Credentials, change: Change, cause: str, remedy: str
) -> None:
    with trust(own_lab, change):
        report = examine(user=colleague, role_session_name="222222222222-colleague")

    assert report.failed() == ["AssumeRole"]
    assert report.causes()["identity policy"] == "ruled out"
    assert report.causes()[cause] == "possible"
    assert report.causes("remedy")[cause] == remedy
    assert examine(user=colleague, role_session_name="222222222222-colleague").failed() == []


def test_a_workload_is_not_asked_for_mfa(own_lab: Lab, examine: Doctor) -> None:
    workload = own_lab.role(ACCOUNT_B, "diagnosed-workload", own_lab.may_assume_executor(), SIMULATE)

    report = examine(user=workload, role_session_name="222222222222-w", external_id="wrong")

    assert (report.causes()["MFA"], report.causes()["identity policy"]) == ("ruled out", "ruled out")
    named = "the caller is arn:aws:iam::222222222222:role/*/diagnosed-workload"
    assert report.causes("observed")["principal pattern"] == named
    assert report.next.endswith("Account B: compare external_id with account A's output ExternalId.")


# --- What the API says ------------------------------------------------------------------------------------------------


def test_a_stage_or_a_resource_that_does_not_exist(own_lab: Lab, examine: Doctor) -> None:
    stage = examine("--api-url", f"{own_lab.api_url.removesuffix('/v1')}/v9")
    resource = examine("/echo/404")

    assert (stage.failed(), resource.failed()) == (["stage"], ["backend"])
    assert stage.next.startswith("Account B: check the host and the stage in the API's URL.")
    assert resource.next == "Account B: check the path and the ids in it."


@contextmanager
def role_policy(lab: Lab, *statements: dict[str, str]) -> Iterator[None]:
    """Give the executor role another policy for a while."""
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    before = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy(*statements))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(before))


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
    with role_policy(own_lab, *statements):
        report = examine(path)

    assert report.failed() == [step]
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

    assert report.failed() == ["permission"]
    assert report.next.startswith("Account A: the API's resource policy denies this method and path.")
    assert examine().failed() == []
