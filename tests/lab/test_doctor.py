"""`call-api doctor` where only a deployed policy shows what is wrong.

What it makes of each sentence of AWS is in tests/unit/call_api/test_doctor.py.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cross_account_api.transport import Connections, HttpResponse, Request, Timeout
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B
from cross_account_lab.iam import policy
from cross_account_lab.lab import USER, Lab
from tests.support.reports import Report

SIMULATE = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}

type CallApi = Callable[..., Result]


def examine(call_api: CallApi, *failed: str, **environment: str) -> Report:
    """Run doctor, and expect these steps to fail."""
    result = call_api("doctor", "--json", code=int(bool(failed)), **environment)
    assert result.stderr == ""
    report = Report(result.exit_code, result.stdout)
    assert report.having("failed") == [*failed]
    return report


def test_a_healthy_lab_has_nothing_but_ticks_and_is_sent_nothing_but_get(
    lab: Lab, call_api: CallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    send = Connections.send

    def watch(connections: Connections, request: Request, timeout: Timeout) -> HttpResponse:
        sent.append((request.method, request.url, "Authorization" in request.headers))
        return send(connections, request, timeout)

    monkeypatch.setattr(Connections, "send", watch)

    report = examine(call_api)

    assert report.having("ok") == list(report.steps)
    assert report.steps["credentials"]["observed"] == f"arn:aws:iam::222222222222:user/{USER}"
    assert sent == [("GET", f"{lab.api_url}/whoami", False), ("GET", f"{lab.api_url}/whoami", True)]


def test_account_a_does_not_trust_the_caller_whom_account_b_allows(lab: Lab, call_api: CallApi, tmp_path: Path) -> None:
    colleague = lab.user(ACCOUNT_B, "colleague", lab.may_assume_executor(), SIMULATE)
    config, profiles = tmp_path / "config", lab.config_file.read_text()
    for own, other in (
        (lab.user_key.access_key, colleague.access_key),
        (lab.user_key.secret_key, colleague.secret_key),
        (f"222222222222-{USER}", "222222222222-colleague"),
    ):
        profiles = profiles.replace(str(own), str(other))
    config.write_text(profiles)
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    before: Any = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    narrowed = {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::222222222222:role/*"}}
    statements = [item | {"Condition": item["Condition"] | narrowed} for item in before["Statement"]]

    iam.update_assume_role_policy(RoleName=role, PolicyDocument=policy(*statements))
    try:
        refused = examine(call_api, "AssumeRole", AWS_CONFIG_FILE=str(config))
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(before))

    assert (refused.causes()["identity policy"], refused.causes()["principal pattern"]) == ("ruled out", "possible")
    remedy = "Account A: one of CallerPrincipalArns must match arn:aws:iam::222222222222:user/colleague."
    assert refused.causes("remedy")["principal pattern"] == remedy
    examine(call_api, AWS_CONFIG_FILE=str(config))
