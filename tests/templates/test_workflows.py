"""The permissions of the GitHub workflows, and whether the names in them exist."""

from __future__ import annotations

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
from samtranslator.yaml_helper import yaml_parse

from cross_account_access.templates import PROJECT, source

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
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No findings to report" in run.stdout
    assert "failed to parse" not in run.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_the_versions_are_named(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


# What reads a pull request's label does not write; what writes its comment runs nothing of it.
PULL_REQUESTS = {
    "access-diff": {"contents": "read", "pull-requests": "read"},
    "access-comment": {"pull-requests": "write"},
}


def test_the_job_that_writes_a_comment_checks_nothing_out() -> None:
    (step,) = workflow(PROJECT / ".github/workflows/test.yaml")["jobs"]["access-comment"]["steps"]
    assert "uses" not in step
    assert step["run"].startswith("gh pr comment ")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_have_only_the_permissions_that_they_name(path: Path) -> None:
    loaded = workflow(path)
    assert loaded["permissions"] == {}
    for name, job in loaded["jobs"].items():
        # Only from an environment, whose reviewers and branches GitHub enforces.
        token = {"id-token": "write"} if "environment" in job else {}
        expected = PULL_REQUESTS.get(name, {"contents": "read"} | token)
        assert job["permissions"] == expected, name
        assert job["timeout-minutes"] <= 45


ACCOUNTS = ["account-a", "account-b"]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_account_is_deployed_from_an_environment_of_its_own(account: str) -> None:
    job, commands = deploy_steps(account)
    assert job["environment"] == account
    (credentials,) = [step["with"] for step in job["steps"] if "configure-aws-credentials" in step.get("uses", "")]
    assert not {"aws-access-key-id", "aws-secret-access-key"} & set(credentials), "OIDC only"
    assert credentials["allowed-account-ids"] == "${{ vars.AWS_ACCOUNT_ID }}", "a mix-up of two environments stops here"
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text())[account]["deploy"]["parameters"]
    assert credentials["aws-profile"] == config["profile"]
    # A bucket of its own: in SAM's, the role could replace the packages of every other stack.
    command = {
        # Rolls back what sets off the alarm.
        "account-a": "python .github/deploy.py account-a ServerErrorsAlarm",
        "account-b": "sam deploy --config-env account-b",
    }[account]
    assert f'{command} --no-resolve-s3 --s3-bucket "$BUCKET" --parameter-overrides' in commands
    (step,) = [step for step in job["steps"] if command in step.get("run", "")]
    outputs = yaml_parse((PROJECT / "template-deploy-role.yaml").read_text())["Outputs"]
    for name, output in ((step["env"]["BUCKET"], "PackagesBucket"), (credentials["role-to-assume"], "DeployRoleArn")):
        variable = re.fullmatch(r"\$\{\{ vars\.(\w+) \}\}", name)
        assert variable
        assert variable[1] in outputs[output]["Description"]


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_job_with_a_deploy_role_installs_sam_only(account: str) -> None:
    job, commands = deploy_steps(account)
    installs = [line for line in commands.splitlines() if re.search(r"\b(pip|npm|uv|apt|make|curl)\b", line)]
    assert installs == [
        'python -m pip install --quiet --require-hashes --only-binary ":all:" -r .github/requirements.txt'
    ]
    group = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]["deploy"]
    assert [re.split("[^a-z-]", requirement)[0] for requirement in group] == ["aws-sam-cli"]
    actions = {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step}
    assert actions == {"actions/checkout", "actions/setup-python", "aws-actions/configure-aws-credentials"}


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


@pytest.mark.parametrize("name", [*ACCOUNTS, "smoke-test"])
def test_a_token_is_for_sts_which_is_another_one_in_china(name: str) -> None:
    job, _ = deploy_steps(name)
    (credentials,) = [step["with"] for step in job["steps"] if "configure-aws-credentials" in step.get("uses", "")]
    assert credentials["audience"] == "${{ vars.AUDIENCE || 'sts.amazonaws.com' }}"


def test_the_smoke_test_comes_last_with_a_role_of_its_own() -> None:
    job, commands = deploy_steps("smoke-test")
    assert (job["needs"], job["environment"]) == ("account-b", "smoke-test")
    assert "pytest tests/deployed" in commands
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


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("values", [VALUES, {}], ids=["values", "none"])
def test_parameters_reach_sam_unchanged(account: str, values: dict[str, str], tmp_path: Path) -> None:
    job, _ = deploy_steps(account)
    (step,) = [step for step in job["steps"] if "PARAMETERS" in step.get("env", {})]
    given = {
        "API_URL": "https://a1.execute-api.eu-west-1.amazonaws.com/v1",
        "EXECUTOR_ROLE_ARN": "arn:aws:iam::1:role/x",
        "API_REGION": "eu-west-1",
    }
    environment = {name: given.get(name, "orders-7f3c@x:/") for name in step["env"]}
    environment["PARAMETERS"] = yaml.safe_dump(values) if values else ""
    subprocess.run(["bash", "-eu", "-c", step["run"]], env=environment, cwd=tmp_path, check=True)

    found = read_by_sam((f"file://{tmp_path}/parameters.yaml",))
    if account == "account-b":
        assert found.pop("CreateApiAccessPolicy") == "false", "the policy for people has no boundary"
        assert found.pop("ApiUrl") == given["API_URL"]
        assert found.pop("ExecutorRoleArn") == given["EXECUTOR_ROLE_ARN"]
        assert found.pop("ExternalId") == "orders-7f3c@x:/"
        assert found.pop("ApiRegion") == "eu-west-1"
    assert found == values


def test_who_keeps_the_policy_for_people_in_the_stack_says_so(tmp_path: Path) -> None:
    """A policy that was deployed by hand stays, if PARAMETERS says so."""
    job, _ = deploy_steps("account-b")
    (step,) = [step for step in job["steps"] if "PARAMETERS" in step.get("env", {})]
    environment = dict.fromkeys(step["env"], "x") | {"PARAMETERS": 'CreateApiAccessPolicy: "true"'}
    subprocess.run(["bash", "-eu", "-c", step["run"]], env=environment, cwd=tmp_path, check=True)
    assert read_by_sam((f"file://{tmp_path}/parameters.yaml",))["CreateApiAccessPolicy"] == "true"


@pytest.mark.parametrize(
    ("region", "parameters", "passed"),
    [("", "", None), ("eu-west-1", "", "eu-west-1"), ("eu-west-1", "ApiRegion: eu-north-1", "eu-north-1")],
)
def test_the_region_of_a_domain_name_is_passed_on_once(
    region: str, parameters: str, passed: str | None, tmp_path: Path
) -> None:
    job, _ = deploy_steps("account-b")
    (step,) = [step for step in job["steps"] if "PARAMETERS" in step.get("env", {})]
    environment = dict.fromkeys(step["env"], "x") | {"API_REGION": region, "PARAMETERS": parameters}
    subprocess.run(["bash", "-eu", "-c", step["run"]], env=environment, cwd=tmp_path, check=True)
    assert read_by_sam((f"file://{tmp_path}/parameters.yaml",)).get("ApiRegion") == passed


def test_watching_a_change_fits_into_the_job_and_its_session() -> None:
    job, _ = deploy_steps("account-a")
    deploy = runpy.run_path(str(PROJECT / ".github/deploy.py"))
    roles = yaml_parse((PROJECT / "template-deploy-role.yaml").read_text())["Resources"]
    session = roles["DeployRole"]["Properties"]["MaxSessionDuration"] / 60
    assert deploy["MINUTES"] + 30 <= job["timeout-minutes"] < session
    # Two periods of the alarm at least.
    assert 60 * deploy["MINUTES"] >= 2 * source("a")["Resources"]["ServerErrorsAlarm"]["Properties"]["Period"]


def test_make_passes_its_arguments_on_as_the_shell_reads_them() -> None:
    arguments = (
        """--parameter-overrides 'CallBody="{\\"sku\\": \\"$5 a\\"}"' ScheduleExpression='"cron(0 6 * * ? *)"'"""
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    planned = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "deploy-b", f"ARGS={arguments}"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (command,) = [line for line in planned.stdout.splitlines() if line.startswith("sam deploy")]
    run = subprocess.run(
        ["bash", "-eu", "-c", f'sam() {{ printf "%s\\0" "$@"; }}; {command}'],
        capture_output=True,
        text=True,
        check=True,
    )
    _, _, _, option, *overrides = run.stdout.rstrip("\0").split("\0")
    assert option == "--parameter-overrides"
    assert read_by_sam(tuple(overrides)) == {
        "CallBody": '{"sku": "$5 a"}',
        "ScheduleExpression": "cron(0 6 * * ? *)",
    }


# --- The judge of a pull request --------------------------------------------------------------------------------------

# Stands in for the tool: "more" in a template is a gain, "odd" is undecided, and "crash" is too much for it.
JUDGE = """
import subprocess, sys
_, command, base, _, head, _, form = sys.argv
assert (command, form) == ("diff", "markdown"), sys.argv
old, new = (subprocess.check_output(["git", "show", f"{revision}:template"], text=True) for revision in (base, head))
if "crash" in new:
    raise KeyError("template")
print(f"## Access: {old.strip()} -> {new.strip()}")
sys.exit(2 if "odd" in new else 1 if "more" in new and "more" not in old else 0)
"""
BRIBED = "print('No change of access'); raise SystemExit(0)"
MAKEFILE = """.venv/.ready:
	mkdir -p .venv/bin
	printf '#!/bin/sh\\nexec {python} "$$@"\\n' >.venv/bin/python
	chmod +x .venv/bin/python
"""
LABELS = "#!/bin/sh\nprintf 'bug\\n%s\\n' \"$LABEL\"\n"


class PullRequest:
    """A repository with a base and a pull request, on which the job's steps run."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.temporary = folder / "repository", folder / "temporary"
        for made in (self.repository / "access", self.temporary, folder / "bin"):
            made.mkdir(parents=True)
        (folder / "bin/gh").write_text(LABELS)
        (folder / "bin/gh").chmod(0o755)
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "MAKE", "MFLAGS"))
        }
        self.environment = inherited | {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "RUNNER_TEMP": str(self.temporary),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_REPOSITORY": "owner/repo",
            "NUMBER": "1",
        }
        self.git("init", "--quiet")
        self.commit(
            {
                "template": "some",
                "cross_account_access/__main__.py": JUDGE,
                "Makefile": MAKEFILE.format(python=sys.executable),
            }
        )
        self.environment["BASE"] = self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=self.repository, env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def commit(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.repository / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")

    def judged(self, label: str = "") -> tuple[int, str]:
        """The exit code of the steps, which the job's is, and the report."""
        for step in workflow(PROJECT / ".github/workflows/test.yaml")["jobs"]["access-diff"]["steps"]:
            if "run" not in step:
                continue
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                cwd=self.repository,
                env=self.environment | {"LABEL": label},
                check=False,
                capture_output=True,
                text=True,
                timeout=600,
            )
            if done.returncode:
                break
        report = Path(self.environment["GITHUB_OUTPUT"]).read_text()
        written = re.fullmatch(r"report<<(\w+)\n(.*)\1\n", report, re.S)
        assert written
        return done.returncode, written[2]


@pytest.fixture
def pull_request(tmp_path: Path) -> PullRequest:
    return PullRequest(tmp_path)


@pytest.mark.parametrize(
    ("template", "unlabelled", "labelled", "report"),
    [
        ("some", 0, 0, "## Access: some -> some"),
        ("more", 1, 0, "## Access: some -> more"),
        ("odd", 2, 2, "## Access: some -> odd"),
        ("crash", 2, 2, "Access was not compared"),
    ],
)
@pytest.mark.parametrize("label", ["", "access-gain"])
def test_the_label_lets_a_reported_gain_pass_and_nothing_else(
    pull_request: PullRequest, template: str, unlabelled: int, labelled: int, report: str, label: str
) -> None:
    pull_request.commit({"template": template, "README": "changed"})
    result, text = pull_request.judged(label)
    assert result == (labelled if label else unlabelled)
    assert text.startswith(report)
    assert "changes what judges" not in text


def test_the_pull_request_does_not_judge_itself(pull_request: PullRequest) -> None:
    evil = MAKEFILE.format(python=sys.executable) + "\ttouch $(HOME)/evil\n"
    pull_request.environment["HOME"] = str(pull_request.temporary)
    pull_request.commit({"template": "more", "cross_account_access/__main__.py": BRIBED, "Makefile": evil})
    result, text = pull_request.judged()
    assert result == 1
    assert text.startswith("## Access: some -> more")
    assert text.endswith("```\nMakefile\naccess/__main__.py\n```\n")
    assert not (pull_request.temporary / "evil").exists()


@pytest.mark.parametrize(
    "name", ["cross_account_access/fields.py", "Makefile", "template-deploy-role.yaml", ".ci", ".github"]
)
def test_a_change_of_the_judge_needs_the_label(pull_request: PullRequest, name: str) -> None:
    pull_request.commit({name: "changed"})
    result, text = pull_request.judged()
    assert result == 1
    assert f"changes what judges access, or deploys:**\n\n```\n{name}\n" in text


def test_a_change_of_the_judge_passes_with_the_label(pull_request: PullRequest) -> None:
    pull_request.commit({"Makefile": "changed"})
    assert pull_request.judged("access-gain")[0] == 0
