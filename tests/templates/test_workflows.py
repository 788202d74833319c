"""The permissions of the GitHub workflows, and whether the names in them exist."""

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from samcli.cli.types import CfnParameterOverridesType

from cross_account_access.templates import PROJECT
from tests.support.scratch import commit, git
from tests.templates.stacks import DEPLOY_ROLE, written

WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yaml"))
CONFIG = tomllib.loads((PROJECT / "samconfig.toml").read_text())
ACCOUNTS = ["account-a", "account-b"]


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / f".github/workflows/{name}.yaml").read_text())["jobs"]
    return found


def deploy_steps(account: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """A job of the deployment, everything that it runs, and how it gets its credentials."""
    job = jobs("deploy")[account]
    (credentials,) = (step["with"] for step in job["steps"] if "configure-aws-credentials" in step.get("uses", ""))
    return job, "\n".join(step.get("run", "") for step in job["steps"]), credentials


def test_zizmor_finds_nothing() -> None:
    zizmor: list[str | Path] = [Path(sys.executable).parent / "zizmor", "--offline", "--quiet", "--no-config"]
    command = [*zizmor, PROJECT / ".github", PROJECT / "action.yml"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No findings to report" in run.stdout
    assert "failed to parse" not in run.stderr


@pytest.mark.parametrize("path", [*WORKFLOWS, PROJECT / "action.yml"], ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_the_versions_are_named(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for action in uses:
        own = action.startswith("./.judge ")
        assert own or re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


# Jobs that need more than to read, or less; what writes a comment or publishes runs nothing of the repository.
OTHERS = {
    "access-comment": {"pull-requests": "write"},
    "publish": {"id-token": "write"},
    "attach": {"contents": "write"},
}


@pytest.mark.parametrize(
    ("workflow", "name"), [("release", "publish"), ("release", "attach"), ("test", "access-comment")]
)
def test_a_job_that_writes_runs_nothing_of_the_repository(workflow: str, name: str) -> None:
    steps = jobs(workflow)[name]["steps"]
    assert not [step for step in steps if "checkout" in step.get("uses", "") or "make" in step.get("run", "").split()]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_have_only_the_permissions_that_they_name(path: Path) -> None:
    assert "\npermissions: {}\n" in path.read_text()
    for name, job in jobs(path.stem).items():
        # Only from an environment, whose reviewers and branches GitHub enforces.
        token = {"id-token": "write"} if "environment" in job else {}
        expected = OTHERS.get(name, {"contents": "read"} | token)
        assert job["permissions"] == expected, name
        assert job["timeout-minutes"] <= 45


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_account_is_deployed_from_an_environment_of_its_own(account: str) -> None:
    job, commands, credentials = deploy_steps(account)
    assert job["environment"] == account
    assert not {"aws-access-key-id", "aws-secret-access-key"} & set(credentials), "OIDC only"
    assert credentials["allowed-account-ids"] == "${{ vars.AWS_ACCOUNT_ID }}", "a mix-up of two environments stops here"
    assert credentials["aws-profile"] == CONFIG[account]["deploy"]["parameters"]["profile"]
    # A bucket of its own: in SAM's, the role could replace the packages of every other stack.
    command = {
        # Rolls back what sets off the alarm.
        "account-a": "python .github/deploy.py account-a ServerErrorsAlarm",
        "account-b": "sam deploy --config-env account-b",
    }[account]
    assert f'{command} --no-resolve-s3 --s3-bucket "$BUCKET" --parameter-overrides' in commands
    (step,) = [step for step in job["steps"] if command in step.get("run", "")]
    for name, output in ((step["env"]["BUCKET"], "PackagesBucket"), (credentials["role-to-assume"], "DeployRoleArn")):
        variable = re.fullmatch(r"\$\{\{ vars\.(\w+) \}\}", name)
        assert variable
        assert variable[1] in DEPLOY_ROLE["Outputs"][output]["Description"]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_job_with_a_deploy_role_installs_sam_only(account: str) -> None:
    job, commands, _ = deploy_steps(account)
    installs = [line for line in commands.splitlines() if re.search(r"\b(pip|npm|uv|apt|make|curl)\b", line)]
    assert installs == [
        'python -m pip install --quiet --require-hashes --only-binary ":all:" -r .github/requirements.txt'
    ]
    group = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]["deploy"]
    assert [re.split("[^a-z-]", requirement)[0] for requirement in group] == ["aws-sam-cli"]
    actions = {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step}
    assert actions == {"actions/checkout", "actions/setup-python", "aws-actions/configure-aws-credentials"}


def test_account_b_follows_account_a_and_gets_its_outputs() -> None:
    provider, commands, _ = deploy_steps("account-a")
    consumer, _, _ = deploy_steps("account-b")
    assert (provider["needs"], consumer["needs"]) == ("test", "account-a")
    assert f"--stack-name {CONFIG['account-a']['deploy']['parameters']['stack_name']} " in commands
    named = {
        item.removeprefix("${{ steps.outputs.outputs.").removesuffix(" }}") for item in provider["outputs"].values()
    }
    assert named == set(written("a")["Outputs"]) & set(written("b")["Parameters"])


def test_the_smoke_test_comes_last_with_a_role_of_its_own() -> None:
    job, _, _ = deploy_steps("smoke-test")
    assert (job["needs"], job["environment"]) == ("account-b", "smoke-test")
    assert "DEPLOY_ROLE_ARN" not in str(job)


# What a shell, make or SAM's own parsing would change: quotes, dollars, spaces, a comma, a leading zero.
VALUES = {
    "ConsumerAccountIds": "012345678901,222222222222",
    "ConsumerSessionName": "${aws:PrincipalAccount}-*",
    "ScheduleExpression": "cron(0 6 * * ? *)",
    "CallBody": '{"sku": "A \\u0022 $5", "note": "it\'s `x`"}',
    "PreviousExternalId": "",
}


def read_by_sam(overrides: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = CfnParameterOverridesType().convert(overrides, None, None)
    return found


def passed(account: str, folder: Path, **given: str) -> dict[str, str]:
    """What SAM reads from the file of parameters that a job writes."""
    (step,) = [step for step in deploy_steps(account)[0]["steps"] if "PARAMETERS" in step.get("env", {})]
    environment = {name: given.get(name, f"{name}@x:/") for name in step["env"]}
    subprocess.run(["bash", "-eu", "-c", step["run"]], env=environment, cwd=folder, check=True)
    return read_by_sam((f"file://{folder}/parameters.yaml",))


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("values", [VALUES, {}], ids=["values", "none"])
def test_parameters_reach_sam_unchanged(account: str, values: dict[str, str], tmp_path: Path) -> None:
    found = passed(account, tmp_path, PARAMETERS=yaml.safe_dump(values) if values else "")
    of_account_a = {
        "ApiUrl": "API_URL@x:/",
        "ExecutorRoleArn": "EXECUTOR_ROLE_ARN@x:/",
        "ExternalId": "EXTERNAL_ID@x:/",
        "ApiRegion": "API_REGION@x:/",
        # The policy for people has no boundary.
        "CreateApiAccessPolicy": "false",
    }
    assert found == values | (of_account_a if account == "account-b" else {})


@pytest.mark.parametrize(
    ("region", "parameters", "parameter", "value"),
    [
        # A policy that was deployed by hand stays, if PARAMETERS says so.
        ("", 'CreateApiAccessPolicy: "true"', "CreateApiAccessPolicy", "true"),
        # Only a domain name needs its region, once.
        ("", "", "ApiRegion", None),
        ("eu-west-1", "ApiRegion: eu-north-1", "ApiRegion", "eu-north-1"),
    ],
)
def test_what_account_b_sets_itself_prevails(
    region: str, parameters: str, parameter: str, value: str | None, tmp_path: Path
) -> None:
    assert passed("account-b", tmp_path, API_REGION=region, PARAMETERS=parameters).get(parameter) == value


def test_watching_a_change_fits_into_the_job_and_its_session() -> None:
    job, _, _ = deploy_steps("account-a")
    deploy = runpy.run_path(str(PROJECT / ".github/deploy.py"))
    session = DEPLOY_ROLE["Resources"]["DeployRole"]["Properties"]["MaxSessionDuration"] / 60
    assert deploy["MINUTES"] + 30 <= job["timeout-minutes"] < session
    # Two periods of the alarm at least.
    assert 60 * deploy["MINUTES"] >= 2 * written("a")["Resources"]["ServerErrorsAlarm"]["Properties"]["Period"]


def test_a_pull_request_is_judged_by_the_base_s_action() -> None:
    steps = jobs("test")["access-diff"]["steps"]
    head, base, judge, changed = steps

    assert "ref" not in head["with"]
    assert (base["with"]["ref"], base["with"]["path"]) == ("${{ github.event.pull_request.base.sha }}", ".judge")
    assert judge["uses"] == "./.judge"
    labelled = "contains(github.event.pull_request.labels.*.name, 'access-gain')"
    assert judge["with"] == {"fail-on": f"${{{{ {labelled} && 'not-judged' || 'gained,not-judged' }}}}"}
    assert changed["if"] == f"!cancelled() && !{labelled}"


@pytest.mark.parametrize("name", ["cross_account_access/fields.py", "README.md"])
def test_a_change_of_the_judge_needs_the_label(tmp_path: Path, name: str) -> None:
    git(tmp_path, "init", "--quiet")
    base = commit(tmp_path)
    commit(tmp_path, {name: "changed"})
    script = jobs("test")["access-diff"]["steps"][-1]["run"]
    command = ["bash", "-e", "-c", script]

    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"BASE": base}, capture_output=True, text=True, check=False
    )

    assert done.returncode == (0 if name == "README.md" else 1)
    assert ("needs the label access-gain" in done.stdout) == (name != "README.md")
