"""An IAM user with an access key assumes the executor role through an ordinary AWS profile, with any tool."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, write_profile
from cross_account_lab.lab import STACK_NAMES, USER, USER_PROFILE, Lab

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def lab(own_lab: Lab) -> Lab:
    """What is tested here is the same with any API."""
    return own_lab


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A user's environment without anything of the machine's user."""
    return {"HOME": str(tmp_path), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def run(
    lab: Lab, home: dict[str, str], *command: str, text: str | None = None, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    given = {**lab.environment, **home, "API_URL": lab.api_url, "AWS_PROFILE": USER_PROFILE, **environment}
    return subprocess.run(
        command,
        env={name: value for name, value in given.items() if value is not None},
        input=text,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


# --- The policy -------------------------------------------------------------------------------------------------------


def test_the_policy_allows_a_user_one_role_and_nothing_else(lab: Lab) -> None:
    iam = lab.session(ACCOUNT_B).client("iam")
    [attached] = iam.list_attached_user_policies(UserName=USER)["AttachedPolicies"]
    version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)["PolicyVersion"]
    document: Any = found["Document"]

    assert attached["PolicyArn"] == lab.outputs[ACCOUNT_B]["ApiAccessPolicyArn"]
    assert document["Statement"] == [
        {
            "Sid": "AssumeExecutorRole",
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Resource": lab.outputs[ACCOUNT_A]["ExecutorRoleArn"],
        }
    ]


def test_the_policy_attached_by_hand_is_enough_and_taken_away_is_the_end(lab: Lab) -> None:
    iam = lab.session(ACCOUNT_B).client("iam")
    user = lab.user(ACCOUNT_B, "newcomer")
    policy = {"UserName": "newcomer", "PolicyArn": lab.outputs[ACCOUNT_B]["ApiAccessPolicyArn"]}

    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(user, "222222222222-newcomer")
    iam.attach_user_policy(**policy)
    session = lab.assume_executor(user, "222222222222-newcomer")
    iam.detach_user_policy(**policy)

    assert lab.request("GET", "/echo", session).json()["session_name"] == "222222222222-newcomer"
    with pytest.raises(ClientError, match="AccessDenied"):
        lab.assume_executor(user, "222222222222-newcomer")


# --- call-api ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[str(BIN / "call-api")], [sys.executable, "-m", "call_api"]])
def test_call_api_is_a_command_and_a_module(lab: Lab, home: dict[str, str], command: list[str]) -> None:
    done = run(lab, home, *command, "/echo")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["session_name"] == f"222222222222-{USER}"


def test_a_body_from_standard_input(lab: Lab, home: dict[str, str]) -> None:
    name = f"name-{uuid4()}"
    post = ("call-api", "POST", "/echo", "--json", "@-", "--output", "json", "--idempotency-key", name)

    first, again = (run(lab, home, *post, text=json.dumps({"name": name})) for _ in range(2))
    done = run(lab, home, "call-api", "/done")

    assert [json.loads(response.stdout)["status"] for response in (first, again)] == [201, 201]
    assert json.loads(json.loads(first.stdout)["body"]["body"]) == {"name": name}
    assert json.loads(done.stdout)["names"].count(name) == 1


@pytest.mark.parametrize(
    ("arguments", "profile", "code", "error"),
    [
        (["/echo"], USER_PROFILE, 0, ""),
        (["echo"], USER_PROFILE, 2, "Error: path is 'echo'."),
        (["/echo"], "no-such-profile", 3, "Error: No credentials from profile no-such-profile: ProfileNotFound"),
        (["DELETE", "/echo/x"], USER_PROFILE, 4, "Error: The API answered 403 AccessDeniedException"),
        (["/echo"], USER, 4, "Error: The API answered 403 AccessDeniedException"),
        (["/echo?status=404"], USER_PROFILE, 5, "Error: The API answered 404 as_asked"),
        (["/echo", "--query", "status=400"], USER_PROFILE, 6, "Error: The API answered 400 as_asked"),
    ],
)
def test_the_exit_code_distinguishes_failures(
    lab: Lab, home: dict[str, str], arguments: list[str], profile: str, code: int, error: str
) -> None:
    done = run(lab, home, "call-api", *arguments, AWS_PROFILE=profile)

    assert done.returncode == code
    assert done.stderr.startswith(error)


def test_the_session_is_shared_with_the_aws_cli_through_its_cache(lab: Lab, home: dict[str, str]) -> None:
    for _ in range(2):
        assert run(lab, home, "call-api", "/echo").returncode == 0

    [cached] = (Path(home["HOME"]) / ".aws/cli/cache").iterdir()
    assert json.loads(cached.read_text())["AssumedRoleUser"]["Arn"].endswith(f"/222222222222-{USER}")
    assert cached.stat().st_mode & 0o777 == 0o600


@contextmanager
def revoked(lab: Lab, home: dict[str, str]) -> Iterator[None]:
    """Deny every session of the executor role that was issued before now, as docs/operate.md says."""
    iam = lab.session(ACCOUNT_A).client("iam")
    role = lab.outputs[ACCOUNT_A]["ExecutorRoleArn"].rpartition("/")[2]
    cached = Path(home["HOME"]) / ".aws/cli/cache"
    [file] = cached.iterdir()
    token = json.loads(file.read_text())["Credentials"]["SessionToken"]
    # The condition that account A uses is `aws:TokenIssueTime`; it has full seconds.
    sleep(2.1)
    condition = {"DateLessThan": {"aws:TokenIssueTime": f"{datetime.now(UTC):%FT%TZ}"}}
    statement = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=role, PolicyName="RevokeOlderSessions", PolicyDocument=document)
    try:
        yield
        assert json.loads(file.read_text())["Credentials"]["SessionToken"] != token
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName="RevokeOlderSessions")


def test_a_cached_session_is_replaced_once_it_was_revoked(own_lab: Lab, home: dict[str, str]) -> None:
    assert run(own_lab, home, "call-api", "/echo").returncode == 0

    with revoked(own_lab, home):
        doctor = run(own_lab, home, "call-api", "doctor", "/echo", "--json")
        first = run(own_lab, home, "call-api", "/echo", "--verbose")
        second = run(own_lab, home, "call-api", "/echo", "--verbose")

    steps = {step["step"]: step for step in json.loads(doctor.stdout)["steps"]}
    assert (doctor.returncode, steps["AssumeRole"]["status"]) == (0, "warning")
    assert steps["AssumeRole"]["observed"].startswith("the cached session is refused, a new one is accepted")
    assert first.returncode == 0, first.stderr
    assert "\n2 attempt(s)" in first.stderr
    assert "\n1 attempt(s)" in second.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", '{"Credentials": {}}'])
def test_a_cache_that_cannot_be_read_is_left_aside(lab: Lab, home: dict[str, str], content: str) -> None:
    assert run(lab, home, "call-api", "/echo").returncode == 0
    [file] = (Path(home["HOME"]) / ".aws/cli/cache").iterdir()
    file.write_text(content)

    done = run(lab, home, "call-api", "/echo")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("place", ["/proc/none", "a file"])
def test_a_cache_that_cannot_be_written_is_left_aside(
    lab: Lab, home: dict[str, str], tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    elsewhere = place if place.startswith("/") else str(tmp_path / "file")

    done = run(lab, home, "call-api", "/echo", HOME=elsewhere)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_cached_session_serves_only_its_own_source(lab: Lab, home: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(lab.config_file.read_text())
    assert run(lab, home, "call-api", "/echo").returncode == 0
    stranger = lab.user(ACCOUNT_B, "without-rights")
    write_profile(
        config,
        USER,
        aws_access_key_id=lab.user_key.access_key,
        aws_secret_access_key=lab.user_key.secret_key or "",
        region="eu-west-1",
    )
    write_profile(
        config,
        "other",
        aws_access_key_id=stranger.access_key,
        aws_secret_access_key=stranger.secret_key or "",
        region="eu-west-1",
        endpoint_url=lab.endpoint,
        ca_bundle=str(lab.ca_file),
    )
    config.write_text(config.read_text().replace(f"source_profile = {USER}", "source_profile = other"))

    done = run(lab, home, "call-api", "/echo", AWS_CONFIG_FILE=str(config))

    assert done.returncode == 3
    assert "no policy of the caller allows sts:AssumeRole" in done.stderr


# --- Machines ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def task(lab: Lab) -> dict[str, str | None]:
    """The environment of a workload in account B, without a configuration file."""
    role = lab.role(ACCOUNT_B, "ci", lab.may_assume_executor())
    return {
        "AWS_ACCESS_KEY_ID": str(role.access_key),
        "AWS_SECRET_ACCESS_KEY": str(role.secret_key),
        "AWS_SESSION_TOKEN": str(role.token),
        "AWS_ENDPOINT_URL": lab.endpoint,
        "AWS_REGION": "eu-west-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_PROFILE": None,
    }


def test_a_job_needs_two_variables_and_no_file(lab: Lab, home: dict[str, str], task: dict[str, str | None]) -> None:
    given = {"EXECUTOR_ROLE_ARN": lab.outputs[ACCOUNT_A]["ExecutorRoleArn"], "EXTERNAL_ID": lab.external_id}

    done = run(lab, home, "call-api", "/echo", **task, **given)
    doctor = run(lab, home, "call-api", "doctor", "/echo", **task, **given)

    assert json.loads(done.stdout)["session_name"] == "222222222222-ci", done.stderr
    assert doctor.returncode == 0, doctor.stdout


def test_a_profile_can_take_the_credentials_of_the_environment(
    lab: Lab, home: dict[str, str], task: dict[str, str | None], tmp_path: Path
) -> None:
    elsewhere = {**task, "AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_PROFILE": "ci"}
    options = {
        "--profile": "ci",
        "--role-arn": lab.outputs[ACCOUNT_A]["ExecutorRoleArn"],
        "--external-id": lab.external_id,
        "--api-url": lab.api_url,
        "--credential-source": "Environment",
        "--api-path": "/echo",
    }

    words = [word for option in options.items() for word in option]
    configured = run(lab, home, "call-api", "configure", *words, "--yes", **elsewhere)
    # The keys in the environment would come before a profile that only the environment names.
    called = run(lab, home, "call-api", "/echo", "--profile", "ci", **elsewhere)
    doctor = run(lab, home, "call-api", "doctor", "--profile", "ci", **elsewhere)

    assert configured.returncode == 0, configured.stderr
    assert json.loads(called.stdout)["session_name"] == "222222222222-ci", called.stderr
    assert doctor.returncode == 0, doctor.stdout


def test_the_executors_own_session_may_be_exported(lab: Lab, home: dict[str, str], task: dict[str, str | None]) -> None:
    session = lab.assume_executor(lab.user_key, "222222222222-my-user")
    exported = task | {
        "AWS_ACCESS_KEY_ID": str(session.access_key),
        "AWS_SECRET_ACCESS_KEY": str(session.secret_key),
        "AWS_SESSION_TOKEN": str(session.token),
    }

    in_profile = exported | {"AWS_PROFILE": USER_PROFILE, "AWS_CONFIG_FILE": str(lab.config_file)}

    done = run(lab, home, "call-api", "/echo", **exported)
    doctor = run(lab, home, "call-api", "doctor", "/echo", **in_profile)

    assert done.returncode == 0, done.stderr
    assert doctor.returncode == 0, doctor.stdout


# --- Other tools with the same profile --------------------------------------------------------------------------------


def test_awscurl_calls_the_api(lab: Lab, home: dict[str, str]) -> None:
    trust = {"REQUESTS_CA_BUNDLE": str(lab.ca_file)}
    command = ("awscurl", "--fail-with-body", "--region", "eu-west-1")

    granted = run(lab, home, *command, f"{lab.api_url}/echo", **trust)
    refused = run(lab, home, *command, "-X", "DELETE", f"{lab.api_url}/echo/x", **trust)

    assert granted.returncode == 0, granted.stderr
    assert json.loads(granted.stdout)["session_name"] == f"222222222222-{USER}"
    assert refused.returncode == 22
    assert "is not authorized to perform: execute-api:Invoke" in refused.stdout


def test_the_aws_cli_is_in_the_role(lab: Lab, home: dict[str, str]) -> None:
    # What version managers put on the path need not be there for this interpreter.
    if not shutil.which("aws") or run(lab, home, "aws", "--version").returncode:
        pytest.skip("the AWS CLI is not installed")

    done = run(lab, home, "aws", "sts", "get-caller-identity")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Arn"].startswith(
        f"arn:aws:sts::111111111111:assumed-role/{STACK_NAMES[ACCOUNT_A]}-ExecutorRole-"
    )


# --- call-api configure -----------------------------------------------------------------------------------------------


def test_configure_writes_the_profile_that_calls(lab: Lab, home: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    given = {"endpoint_url": lab.endpoint, "ca_bundle": str(lab.ca_file)}
    write_profile(config, "default", region="eu-north-1")
    write_profile(
        config,
        "me",
        aws_access_key_id=lab.user_key.access_key,
        aws_secret_access_key=lab.user_key.secret_key or "",
        region="eu-west-1",
        **given,
    )
    write_profile(config, "shop", **given)
    before = config.read_text()
    answers = [
        lab.outputs[ACCOUNT_A]["ExecutorRoleArn"],
        "me",
        lab.external_id,
        "",
        "",
        lab.api_url,
        "eu-west-1",
        "y",
        "",
    ]
    elsewhere = {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "default", "API_URL": ""}

    configured = run(lab, home, "call-api", "configure", "--profile", "shop", text="\n".join(answers), **elsewhere)
    called = run(lab, home, "call-api", "/echo", "--profile", "shop", **elsewhere)
    doctor = run(lab, home, "call-api", "doctor", "--profile", "shop", **elsewhere)

    assert configured.returncode == 0, configured.stderr
    assert "[222222222222-my-user]" in configured.stderr, "the session name is proposed"
    assert "Next: call-api doctor --profile shop" in configured.stdout
    assert (tmp_path / "config.call-api.bak").read_text() == before
    assert config.read_text().startswith(before.rstrip("\n"))
    assert json.loads(called.stdout)["session_name"] == f"222222222222-{USER}"
    assert doctor.returncode == 0, doctor.stdout
