"""`call-api doctor` where only a deployed policy shows what is wrong.

What it makes of each sentence of AWS is in tests/unit/call_api/test_doctor.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials
from click.testing import Result

from cross_account_api.transport import Connections, HttpResponse, Request, Timeout
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION, write_profile
from cross_account_lab.iam import policy
from cross_account_lab.lab import USER, USER_PROFILE, Lab
from tests.support.reports import Report

SIMULATE = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}

type CallApi = Callable[..., Result]
type Doctor = Callable[..., Report]


@pytest.fixture
def examine(lab: Lab, call_api: CallApi, tmp_path: Path) -> Doctor:
    """Run doctor with the lab's profile, or with another user as its source and another session name."""
    config = tmp_path / "aws-config"

    def run(*failed: str, user: Credentials = lab.user_key, session_name: str = "") -> Report:
        """Expect these steps to fail."""
        config.write_text(lab.config_file.read_text())
        place = {"region": REGION, "endpoint_url": lab.endpoint, "ca_bundle": str(lab.ca_file)}
        keys = {"aws_access_key_id": user.access_key, "aws_secret_access_key": str(user.secret_key)}
        write_profile(config, USER, **place, **keys)
        if session_name:
            settings = lab.session(USER_PROFILE)._session.get_scoped_config()
            write_profile(config, USER_PROFILE, **settings | {"role_session_name": session_name})
        result = call_api("doctor", "--json", code=int(bool(failed)), AWS_CONFIG_FILE=str(config))
        assert result.stderr == ""
        report = Report(result.exit_code, result.stdout)
        assert report.having("failed") == [*failed]
        return report

    return run


def test_a_healthy_lab_has_nothing_but_ticks_and_is_sent_nothing_but_get(
    lab: Lab, examine: Doctor, monkeypatch: pytest.MonkeyPatch
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
    assert sent == [("GET", f"{lab.api_url}/whoami", False), ("GET", f"{lab.api_url}/whoami", True)]


def test_account_a_does_not_trust_the_caller_whom_account_b_allows(lab: Lab, examine: Doctor) -> None:
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    before: Any = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    narrowed = {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::222222222222:role/*"}}
    statements = [item | {"Condition": item["Condition"] | narrowed} for item in before["Statement"]]
    colleague = lab.user(ACCOUNT_B, "colleague", lab.may_assume_executor(), SIMULATE)

    iam.update_assume_role_policy(RoleName=role, PolicyDocument=policy(*statements))
    try:
        refused = examine("AssumeRole", user=colleague, session_name="222222222222-colleague")
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(before))

    assert (refused.causes()["identity policy"], refused.causes()["principal pattern"]) == ("ruled out", "possible")
    remedy = "Account A: one of CallerPrincipalArns must match arn:aws:iam::222222222222:user/colleague."
    assert refused.causes("remedy")["principal pattern"] == remedy
    examine(user=colleague, session_name="222222222222-colleague")
