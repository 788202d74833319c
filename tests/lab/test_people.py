"""An IAM user with an access key assumes the executor role through an ordinary AWS profile."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from click.testing import Result

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, write_profile
from cross_account_lab.iam import policy
from cross_account_lab.lab import USER, Lab

type CallApi = Callable[..., Result]


def keys(lab: Lab, user: Credentials) -> dict[str, str]:
    """Return a profile with an access key."""
    return {
        "aws_access_key_id": user.access_key,
        "aws_secret_access_key": user.secret_key or "",
        "region": "eu-west-1",
        "endpoint_url": lab.endpoint,
        "ca_bundle": str(lab.ca_file),
    }


def test_the_policy_attached_by_hand_is_enough_and_taken_away_is_the_end(lab: Lab) -> None:
    iam = lab.session(ACCOUNT_B).client("iam")
    user = lab.user(ACCOUNT_B, "newcomer")
    policy = {"UserName": "newcomer", "PolicyArn": lab.outputs[ACCOUNT_B]["ApiAccessPolicyArn"]}

    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(user, "222222222222-newcomer")
    iam.attach_user_policy(**policy)
    session = lab.assume_executor(user, "222222222222-newcomer")
    iam.detach_user_policy(**policy)

    assert lab.request("GET", "/whoami", session).json()["session_name"] == "222222222222-newcomer"
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(user, "222222222222-newcomer")


def test_a_cached_session_is_replaced_once_it_was_revoked(lab: Lab, call_api: CallApi, tmp_path: Path) -> None:
    call_api("/whoami")
    # The AWS CLI's own cache, in its form.
    [file] = (tmp_path / ".aws/cli/cache").iterdir()
    before = json.loads(file.read_text())
    assert before["AssumedRoleUser"]["Arn"].endswith(f"/222222222222-{USER}")
    assert file.stat().st_mode & 0o777 == 0o600

    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    # The condition that account A uses, as docs/operate.md says; it has full seconds.
    sleep(2.1)
    condition = {"DateLessThan": {"aws:TokenIssueTime": f"{datetime.now(UTC):%FT%TZ}"}}
    document = policy({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition})
    iam.put_role_policy(RoleName=role, PolicyName="RevokeOlderSessions", PolicyDocument=document)
    try:
        doctor = call_api("doctor", "/whoami", "--json")
        first = call_api("/whoami", "--verbose")
        second = call_api("/whoami", "--verbose")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="RevokeOlderSessions")

    step = next(step for step in json.loads(doctor.stdout)["steps"] if step["step"] == "AssumeRole")
    assert step["status"] == "warning"
    assert step["observed"].startswith("the cached session is refused, a new one is accepted")
    assert "\n2 attempt(s)" in first.stderr
    assert "\n1 attempt(s)" in second.stderr
    assert json.loads(file.read_text())["Credentials"] != before["Credentials"]


def test_a_cached_session_serves_only_its_own_source(lab: Lab, call_api: CallApi, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(lab.config_file.read_text())
    call_api("/whoami")
    write_profile(config, "other", **keys(lab, lab.user(ACCOUNT_B, "without-rights")))
    config.write_text(config.read_text().replace(f"source_profile = {USER}", "source_profile = other"))

    done = call_api("/whoami", AWS_CONFIG_FILE=str(config), code=3)

    assert "no policy of the caller allows sts:AssumeRole" in done.stderr


def test_configure_writes_the_profile_that_calls(lab: Lab, call_api: CallApi, tmp_path: Path) -> None:
    config = tmp_path / "config"
    write_profile(config, "default", region="eu-north-1")
    write_profile(config, "me", **keys(lab, lab.user_key))
    write_profile(config, "shop", endpoint_url=lab.endpoint, ca_bundle=str(lab.ca_file))
    before = config.read_text()
    answers = [lab.outputs[ACCOUNT_A]["ExecutorRoleArn"], "me", lab.external_id, "", "", lab.api_url]
    answers += ["eu-west-1", "y", ""]
    elsewhere = {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "default", "API_URL": ""}

    configured = call_api("configure", "--profile", "shop", text="\n".join(answers), **elsewhere)
    called = call_api("/whoami", "--profile", "shop", **elsewhere)
    call_api("doctor", "--profile", "shop", **elsewhere)

    assert "[222222222222-my-user]" in configured.stderr, "the session name is proposed"
    assert "Next: call-api doctor --profile shop" in configured.stdout
    assert (tmp_path / "config.call-api.bak").read_text() == before
    assert config.read_text().startswith(before.rstrip("\n"))
    assert json.loads(called.stdout)["session_name"] == f"222222222222-{USER}"
