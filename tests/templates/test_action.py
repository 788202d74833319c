"""The GitHub Action access-diff: its steps, run on pull requests of a scratch repository."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cross_account_access.project import PROJECT
from tests.support.scratch import commit, git

ACTION = yaml.safe_load((PROJECT / "action.yml").read_text())
TEMPLATE = """
Resources:
  Jobs: {Type: AWS::SQS::Queue}
  Policy:
    Type: AWS::SQS::QueuePolicy
    Properties:
      Queues: [!Ref Jobs]
      PolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Principal: {AWS: "222222222222"}, Action: sqs:SendMessage, Resource: "*"}]
"""
GAIN = TEMPLATE.replace("sqs:SendMessage", "[sqs:SendMessage, sqs:ReceiveMessage]")
LOSS = TEMPLATE.replace("Effect: Allow", "Effect: Deny")
UNKNOWN = TEMPLATE + "  More: {Type: Custom::Grant, Properties: {ServiceToken: arn, Who: everyone}}\n"
# What a pull request would put in the tool's place.
BRIBED = "print('No change of access'); raise SystemExit(0)"


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


class PullRequest:
    """A repository with a base and a head, and what the runner gives to the action's steps."""

    def __init__(self, folder: Path) -> None:
        self.repository, self.temporary = folder / "a repository", folder / "temporary"
        (self.repository / "infra").mkdir(parents=True)
        self.folder = folder
        # What the first two steps install; tests/lab/wheel does so for real.
        self.install(f'exec {sys.executable} "$@"')
        program(folder / "bin/gh", f'printf "%s\\n" "$@" >{folder}/gh; exit "${{GH_FAILS:-0}}"')
        git(self.repository, "init", "--quiet")
        self.base = self.commit({"infra/jobs.yaml": TEMPLATE})

    def install(self, script: str) -> None:
        """Put a program in the place of the tool's Python."""
        program(self.temporary / "access-diff/bin/python", script)

    def commit(self, files: Mapping[str, str]) -> str:
        return commit(self.repository, files)

    def judged(self, **inputs: str) -> tuple[int, dict[str, str]]:
        """Run the last step as GitHub does, and return its exit code and outputs."""
        step = ACTION["runs"]["steps"][-1]
        given = {name: str(value["default"]) for name, value in ACTION["inputs"].items()}
        given |= {"base": self.base, "templates": "infra/jobs.yaml"}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        known = {f"inputs.{name}": value for name, value in given.items()} | {
            "github.action_path": str(PROJECT),
            "github.event.pull_request.number": "7",
            "github.token": "token",
        }
        environment = {
            name: re.sub(r"\$\{\{ (.+?) \}\}", lambda match: known[match[1]], value)
            for name, value in step["env"].items()
        }
        output = self.folder / "output"
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.repository,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTHON"))},
                **environment,
                "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
                "RUNNER_TEMP": str(self.temporary),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
                "GITHUB_REPOSITORY": "owner/repo",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        text = output.read_text()
        written = re.fullmatch(r"verdict=(.+)\nsarif=(.+)\nreport<<(\w+)\n(.*)\3\n", text, re.S)
        assert written, done.stderr
        return done.returncode, {"verdict": written[1], "sarif": written[2], "report": written[4]}


@pytest.fixture
def pull_request(tmp_path: Path) -> PullRequest:
    return PullRequest(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "verdict", "code", "said"),
    [
        (LOSS, "none", 0, "sqs:SendMessage"),
        (GAIN, "gained", 1, "sqs:ReceiveMessage"),
        (UNKNOWN, "not-judged", 1, "Custom::Grant"),
    ],
    ids=["loss", "gain", "unknown"],
)
def test_each_verdict_has_its_output_and_exit_code(
    pull_request: PullRequest, template: str, verdict: str, code: int, said: str
) -> None:
    pull_request.commit({"infra/jobs.yaml": template})
    result, outputs = pull_request.judged()

    assert (result, outputs["verdict"]) == (code, verdict)
    assert said in outputs["report"]
    assert (pull_request.folder / "summary").read_text() == outputs["report"]
    sarif: dict[str, Any] = json.loads(Path(outputs["sarif"]).read_text())
    assert any(result["level"] != "note" for result in sarif["runs"][0]["results"]) == (code == 1)


# The tool's exit codes, and its exit codes without the gains.
EXITS = {"none": (0, 0), "gained": (1, 0), "gained and not judged": (1, 2), "not judged": (2, 2), "failed": (3, 3)}


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [
        ("gained,not-judged", ["gained", "gained and not judged", "not judged", "failed"]),
        ("gained", ["gained", "gained and not judged"]),
        ("not-judged", ["gained and not judged", "not judged", "failed"]),
        ("", []),
    ],
)
def test_what_fails_the_step_is_the_user_s_choice(pull_request: PullRequest, fail_on: str, failing: list[str]) -> None:
    failed = []
    for name, (code, without_gains) in EXITS.items():
        pull_request.install(f'echo report; case "$*" in *--allow-gain*) exit {without_gains} ;; esac; exit {code}')
        if pull_request.judged(fail_on=fail_on)[0]:
            failed.append(name)

    assert failed == failing


def test_a_comment_is_written_from_a_file_and_may_fail(
    pull_request: PullRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_FAILS", "1")
    pull_request.install("echo report")
    result, _ = pull_request.judged(comment="true")

    assert result == 0
    assert "--body-file" in (pull_request.folder / "gh").read_text().splitlines()


@pytest.mark.slow
def test_the_pull_request_cannot_take_the_tool_s_place(pull_request: PullRequest) -> None:
    names = ("cross_account_access/__main__.py", "cross_account_access/__init__.py", "yaml.py", "sitecustomize.py")
    pull_request.commit({"infra/jobs.yaml": GAIN, **dict.fromkeys(names, BRIBED)})

    assert pull_request.judged()[1]["verdict"] == "gained"


def test_a_tool_that_fails_has_compared_nothing(pull_request: PullRequest) -> None:
    pull_request.install("exit 1")
    code, outputs = pull_request.judged()

    assert (code, outputs["verdict"]) == (1, "not-judged")
    assert outputs["report"] == "Access was not compared: the tool failed.\n"


@pytest.mark.slow
def test_names_reach_no_shell(pull_request: PullRequest) -> None:
    names = ["$(touch evil)", "`touch evil`", "a b", "-x", "--output=evil", "'; touch evil; '"]
    pull_request.commit({f"infra/{name}.yaml": TEMPLATE for name in names})
    git(pull_request.repository, "branch", "-m", "x$(touch${IFS}evil)")
    pull_request.judged(templates="".join(f"infra/{name}.yaml\n{name}\n" for name in names))

    assert [path.name for path in pull_request.folder.rglob("evil")] == []
