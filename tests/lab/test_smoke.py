"""The smoke test for real accounts, run against the lab: it passes if the stacks work, and fails if they do not."""

import os
import subprocess
import sys

import pytest

from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import ACCOUNT_B, REGION, write_profile
from cross_account_lab.iam import Statement
from cross_account_lab.lab import Lab


def smoke_test(lab: Lab, name: str, *statements: Statement) -> subprocess.CompletedProcess[str]:
    """Run tests/lab/deployed as a new role of account B, which may also describe stacks and invoke functions."""
    looking = {
        "Effect": "Allow",
        "Action": ["cloudformation:DescribeStacks", "lambda:InvokeFunction"],
        "Resource": "*",
    }
    who = lab.role(ACCOUNT_B, name, looking, *statements)
    write_profile(
        lab.config_file,
        name,
        region=REGION,
        endpoint_url=lab.endpoint,
        aws_access_key_id=who.access_key,
        aws_secret_access_key=who.secret_key,
        aws_session_token=str(who.token),
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/lab/deployed", "-p", "no:cacheprovider", "--color=no"],
        cwd=PROJECT,
        env=os.environ
        | lab.environment
        | {"ACCOUNT_B_PROFILE": name, "NO_PROXY": "127.0.0.1", "REQUESTS_CA_BUNDLE": str(lab.ca_file)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_smoke_test_passes_on_stacks_that_work(lab: Lab) -> None:
    run = smoke_test(lab, "smoke", lab.may_assume_executor())
    assert run.returncode == 0, run.stdout
    assert " 7 passed in " in run.stdout


def test_the_smoke_test_fails_where_the_role_cannot_be_assumed(lab: Lab) -> None:
    run = smoke_test(lab, "smoke-without-role")
    assert run.returncode == pytest.ExitCode.TESTS_FAILED
    assert "3 passed" in run.stdout
    assert "4 errors" in run.stdout
