"""What the workflows on GitHub may do, and that they name what is really there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from access.templates import PROJECT, source

WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yaml"))


def workflow(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def deploy_steps(account: str) -> tuple[dict[str, Any], str]:
    """A job of the deployment, and everything that it runs."""
    job: dict[str, Any] = workflow(PROJECT / ".github/workflows/deploy.yaml")["jobs"][account]
    return job, "\n".join(step.get("run", "") for step in job["steps"])


def test_zizmor_finds_nothing() -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "zizmor", "--offline", "--quiet", "--no-config", PROJECT / ".github/workflows"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No findings to report" in run.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_the_versions_are_named(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_have_only_the_permissions_that_they_name(path: Path) -> None:
    loaded = workflow(path)
    assert loaded["permissions"] == {}
    for name, job in loaded["jobs"].items():
        deploys = name.startswith("account-")
        assert job["permissions"] == {"contents": "read"} | ({"id-token": "write"} if deploys else {}), name
        assert job["timeout-minutes"] <= 45


@pytest.mark.parametrize("account", ["account-a", "account-b"])
def test_each_account_is_deployed_from_an_environment_of_its_own(account: str) -> None:
    job, commands = deploy_steps(account)
    assert job["environment"] == account
    (credentials,) = [step["with"] for step in job["steps"] if "configure-aws-credentials" in step.get("uses", "")]
    assert set(credentials) == {"role-to-assume", "role-session-name", "aws-region"}, "OIDC only, no access keys"
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())[account]["deploy"]["parameters"]
    assert f"aws configure set profile.{config['profile']}.credential_process" in commands
    assert f"make deploy-{account[-1]} ARGS=" in commands


def test_account_b_follows_account_a_and_gets_its_outputs() -> None:
    provider, commands = deploy_steps("account-a")
    consumer, _ = deploy_steps("account-b")
    assert (provider["needs"], consumer["needs"]) == ("test", "account-a")
    stack_name = tomllib.loads((PROJECT / "samconfig.toml").read_text())["account-a"]["deploy"]["parameters"][
        "stack_name"
    ]
    assert f"--stack-name {stack_name} " in commands
    named = {
        item.removeprefix("${{ steps.outputs.outputs.").removesuffix(" }}") for item in provider["outputs"].values()
    }
    assert named == set(source("a")["Outputs"]) & set(source("b")["Parameters"])


def test_the_smoke_test_runs_after_the_last_deployment() -> None:
    job, commands = deploy_steps("account-b")
    assert commands.index("make deploy-b") < commands.index("pytest tests/deployed")
    assert job["steps"][-1]["env"] == {"ACCOUNT_B_PROFILE": "account-b"}
