"""template-access.yaml deployed by nothing but the AWS CLI, as the page says."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from cross_account_access.project import PROJECT
from cross_account_lab.accounts import ACCOUNT_A
from cross_account_lab.sam import stack_outputs
from cross_account_lab.workarounds import adapted_template
from tests.lab.foreign.apis import Foreign

PAGE = (PROJECT / "docs/existing-api.md").read_text()
AWS = PROJECT / ".aws-cli-venv/bin"


def test_the_aws_cli_deploys_the_rights(foreign: Foreign, tmp_path: Path) -> None:
    if not (AWS / "aws").exists():
        pytest.skip("`make .aws-cli-venv/.ready` installs the AWS CLI")
    lab, api = foreign.lab, foreign.http
    (tmp_path / "template-access.yaml").write_text(
        adapted_template((PROJECT / "template-access.yaml").read_text(), lab.endpoint)
    )
    [command] = re.findall(r"^aws cloudformation deploy(?:.*\\\n)*.*$", PAGE, re.M)
    arns = ",".join(api.arns("GET/items"))
    command = re.sub(r"GrantedMethodArns=\S+", f"GrantedMethodArns='{arns}'", command).replace(
        "shop-for-b", "plain-for-b"
    )
    # No policy variable matches here, and there is no MFA.
    command += " ConsumerSessionName='222222222222-*'"
    command += "" if "RequireMfaForUsers" in command else " RequireMfaForUsers=false"

    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, **lab.environment, "AWS_PROFILE": ACCOUNT_A, "PATH": f"{AWS}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    session = foreign.assume(foreign.user, stack_outputs(lab.session(ACCOUNT_A), "plain-for-b"))
    assert [foreign.call(api, f"{method} /items", session).status_code for method in ("GET", "POST")] == [200, 403]
