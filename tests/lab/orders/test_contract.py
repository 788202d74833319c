"""The deployed API keeps to its OpenAPI document for any request."""

import os
import re
import subprocess
import sys
from pathlib import Path

from cross_account_access.contract import CONTRACT
from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import ACCOUNT_B, ACCOUNT_IDS
from cross_account_lab.lab import Lab


def test_responses_are_as_documented(lab: Lab) -> None:
    """In a process of its own: otherwise every worker would import Schemathesis, and generate the requests."""
    session = lab.assume_executor(lab.user_key, f"{ACCOUNT_IDS[ACCOUNT_B]}-contract")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--color=no",
            Path(__file__).with_name("contract.py"),
        ],
        cwd=PROJECT,
        env=os.environ
        | {
            "API_URL": lab.api_url,
            "REQUESTS_CA_BUNDLE": str(lab.ca_file),
            "NO_PROXY": "127.0.0.1",
            "AWS_ACCESS_KEY_ID": session.access_key,
            "AWS_SECRET_ACCESS_KEY": session.secret_key,
            "AWS_SESSION_TOKEN": str(session.token),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    operations = re.findall(r"^    (?:get|post|put|patch|delete):", (PROJECT / CONTRACT).read_text(), re.MULTILINE)
    assert f" {len(operations)} passed in " in done.stdout
