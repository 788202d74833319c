"""The smoke test for real accounts passes on the lab's stacks."""

import os
import subprocess
import sys

from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import ACCOUNT_B, REGION, write_profile
from cross_account_lab.lab import Lab


def test_the_smoke_test_passes_on_stacks_that_work(lab: Lab) -> None:
    actions = ["cloudformation:DescribeStacks", "lambda:InvokeFunction"]
    looking = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    who = lab.role(ACCOUNT_B, "smoke", looking, lab.may_assume_executor())
    write_profile(
        lab.config_file,
        "smoke",
        region=REGION,
        endpoint_url=lab.endpoint,
        aws_access_key_id=who.access_key,
        aws_secret_access_key=who.secret_key,
        aws_session_token=str(who.token),
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/lab/deployed", "-p", "no:cacheprovider", "--color=no"],
        cwd=PROJECT,
        env=os.environ
        | lab.environment
        | {"ACCOUNT_B_PROFILE": "smoke", "NO_PROXY": "127.0.0.1", "REQUESTS_CA_BUNDLE": str(lab.ca_file)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert " 7 passed in " in run.stdout
