"""An IAM user with an access key assumes the executor role through an ordinary AWS profile, with any tool."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, write_profile
from cross_account_lab.iam import policy
from cross_account_lab.lab import STACK_NAMES, USER, USER_PROFILE, Lab

BIN = Path(sys.executable).parent


type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(own_lab: Lab, tmp_path: Path) -> Run:
    """Run a command as a user with the lab's profiles, and nothing of the machine's user."""

    def run(
        *command: str, text: str | None = None, code: int | None = 0, **environment: str | None
    ) -> subprocess.CompletedProcess[str]:
        given = {
            **own_lab.environment,
            "HOME": str(tmp_path),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "API_URL": own_lab.api_url,
            "AWS_PROFILE": USER_PROFILE,
            **environment,
        }
        done = subprocess.run(
            command,
            env={name: value for name, value in given.items() if value is not None},
            input=text,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    return run


def test_the_policy_attached_by_hand_is_enough_and_taken_away_is_the_end(own_lab: Lab) -> None:
    iam = own_lab.session(ACCOUNT_B).client("iam")
    user = own_lab.user(ACCOUNT_B, "newcomer")
    policy = {"UserName": "newcomer", "PolicyArn": own_lab.outputs[ACCOUNT_B]["ApiAccessPolicyArn"]}

    with pytest.raises(ClientError, match="AccessDenied"):
        own_lab.assume_executor(user, "222222222222-newcomer")
    iam.attach_user_policy(**policy)
    session = own_lab.assume_executor(user, "222222222222-newcomer")
    iam.detach_user_policy(**policy)

    assert own_lab.request("GET", "/echo", session).json()["session_name"] == "222222222222-newcomer"
    with pytest.raises(ClientError, match="AccessDenied"):
        own_lab.assume_executor(user, "222222222222-newcomer")


# --- call-api ---------------------------------------------------------------------------------------------------------


def test_a_cached_session_is_replaced_once_it_was_revoked(own_lab: Lab, run: Run, tmp_path: Path) -> None:
    run("call-api", "/echo")
    # The AWS CLI's own cache, in its form.
    [file] = (tmp_path / ".aws/cli/cache").iterdir()
    before = json.loads(file.read_text())
    assert before["AssumedRoleUser"]["Arn"].endswith(f"/222222222222-{USER}")
    assert file.stat().st_mode & 0o777 == 0o600

    iam = own_lab.session(ACCOUNT_A).client("iam")
    role = own_lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    # The condition that account A uses, as docs/operate.md says; it has full seconds.
    sleep(2.1)
    condition = {"DateLessThan": {"aws:TokenIssueTime": f"{datetime.now(UTC):%FT%TZ}"}}
    document = policy({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition})
    iam.put_role_policy(RoleName=role, PolicyName="RevokeOlderSessions", PolicyDocument=document)
    try:
        doctor = run("call-api", "doctor", "/echo", "--json")
        first = run("call-api", "/echo", "--verbose")
        second = run("call-api", "/echo", "--verbose")
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="RevokeOlderSessions")

    step = next(step for step in json.loads(doctor.stdout)["steps"] if step["step"] == "AssumeRole")
    assert step["status"] == "warning"
    assert step["observed"].startswith("the cached session is refused, a new one is accepted")
    assert "\n2 attempt(s)" in first.stderr
    assert "\n1 attempt(s)" in second.stderr
    assert json.loads(file.read_text())["Credentials"] != before["Credentials"]


def keys(lab: Lab, user: Credentials) -> dict[str, str]:
    """Return a profile with an access key."""
    return {
        "aws_access_key_id": user.access_key,
        "aws_secret_access_key": user.secret_key or "",
        "region": "eu-west-1",
        "endpoint_url": lab.endpoint,
        "ca_bundle": str(lab.ca_file),
    }


def test_a_cached_session_serves_only_its_own_source(own_lab: Lab, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(own_lab.config_file.read_text())
    run("call-api", "/echo")
    write_profile(config, "other", **keys(own_lab, own_lab.user(ACCOUNT_B, "without-rights")))
    config.write_text(config.read_text().replace(f"source_profile = {USER}", "source_profile = other"))

    done = run("call-api", "/echo", AWS_CONFIG_FILE=str(config), code=3)

    assert "no policy of the caller allows sts:AssumeRole" in done.stderr


# --- Machines ---------------------------------------------------------------------------------------------------------


def test_a_job_needs_two_variables_and_no_file_or_a_profile_that_takes_its_credentials(
    own_lab: Lab, run: Run, tmp_path: Path
) -> None:
    job = own_lab.role(ACCOUNT_B, "ci", own_lab.may_assume_executor())
    arn = own_lab.outputs[ACCOUNT_A]["ExecutorRoleArn"]
    task: dict[str, str | None] = {
        "AWS_ACCESS_KEY_ID": job.access_key,
        "AWS_SECRET_ACCESS_KEY": job.secret_key,
        "AWS_SESSION_TOKEN": job.token,
        "AWS_ENDPOINT_URL": own_lab.endpoint,
        "AWS_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": None,
    }
    by_variables = {"EXECUTOR_ROLE_ARN": arn, "EXTERNAL_ID": own_lab.external_id, "AWS_CONFIG_FILE": os.devnull}
    words = f"--role-arn {arn} --external-id {own_lab.external_id} --credential-source Environment --api-path /echo"

    run("call-api", "configure", "--profile", "ci", *words.split(), "--api-url", own_lab.api_url, "--yes", **task)
    for more, settings in ((), task | by_variables), (("--profile", "ci"), task):
        called = run("call-api", "/echo", *more, **settings)
        assert json.loads(called.stdout)["session_name"] == "222222222222-ci"
        run("call-api", "doctor", "/echo", *more, **settings)


# --- Other tools with the same profile --------------------------------------------------------------------------------


def test_awscurl_calls_the_api(own_lab: Lab, run: Run) -> None:
    trust = {"REQUESTS_CA_BUNDLE": str(own_lab.ca_file)}
    command = ("awscurl", "--fail-with-body", "--region", "eu-west-1")

    granted = run(*command, f"{own_lab.api_url}/echo", **trust)
    refused = run(*command, "-X", "DELETE", f"{own_lab.api_url}/echo/x", **trust, code=22)

    assert json.loads(granted.stdout)["session_name"] == f"222222222222-{USER}"
    assert "is not authorized to perform: execute-api:Invoke" in refused.stdout


def test_the_aws_cli_is_in_the_role(run: Run) -> None:
    # What version managers put on the path need not be there for this interpreter.
    if not shutil.which("aws") or run("aws", "--version", code=None).returncode:
        pytest.skip("the AWS CLI is not installed")

    arn = json.loads(run("aws", "sts", "get-caller-identity").stdout)["Arn"]

    assert arn.startswith(f"arn:aws:sts::111111111111:assumed-role/{STACK_NAMES[ACCOUNT_A]}-ExecutorRole-")


# --- call-api configure -----------------------------------------------------------------------------------------------


def test_configure_writes_the_profile_that_calls(own_lab: Lab, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config"
    write_profile(config, "default", region="eu-north-1")
    write_profile(config, "me", **keys(own_lab, own_lab.user_key))
    write_profile(config, "shop", endpoint_url=own_lab.endpoint, ca_bundle=str(own_lab.ca_file))
    before = config.read_text()
    answers = [own_lab.outputs[ACCOUNT_A]["ExecutorRoleArn"], "me", own_lab.external_id, "", "", own_lab.api_url]
    answers += ["eu-west-1", "y", ""]
    elsewhere = {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "default", "API_URL": ""}

    configured = run("call-api", "configure", "--profile", "shop", text="\n".join(answers), **elsewhere)
    called = run("call-api", "/echo", "--profile", "shop", **elsewhere)
    run("call-api", "doctor", "--profile", "shop", **elsewhere)

    assert "[222222222222-my-user]" in configured.stderr, "the session name is proposed"
    assert "Next: call-api doctor --profile shop" in configured.stdout
    assert (tmp_path / "config.call-api.bak").read_text() == before
    assert config.read_text().startswith(before.rstrip("\n"))
    assert json.loads(called.stdout)["session_name"] == f"222222222222-{USER}"
