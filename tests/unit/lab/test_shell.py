"""`sam` in a lab's shell: the project's stacks are built and deployed in the lab's copy, all else runs as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from cross_account_access.project import PROJECT
from cross_account_lab import shell

SAM = """#!/bin/sh
printf '%s\\n' "$PWD" "$@" > "$OUTPUT"
printf '%s' "$PATH" > "$OUTPUT.path"
exit 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab's folder, beside an environment whose SAM CLI records where and how it was called, and fails."""
    programs = tmp_path / "bin of the project's"
    programs.mkdir()
    (programs / "sam").write_text(SAM)
    (programs / "sam").chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("OUTPUT", str(tmp_path / "called"))
    monkeypatch.chdir(PROJECT)
    folder = tmp_path / "a lab's folder"
    folder.mkdir()
    return folder


def called(folder: Path) -> list[str]:
    return (folder.parent / "called").read_text().splitlines()


def run(folder: Path, *arguments: str) -> list[str]:
    """Run it as the script does; return the working folder and the arguments of the real SAM CLI."""
    assert shell.main([str(folder), "https://127.0.0.1:1", str(PROJECT), *arguments]) == 3
    return called(folder)


COMPLETED = ['ConsumerSessionName="333333333333-*"', 'RequireMfaForUsers="false"', 'ConsumerAccountIds="333333333333"']


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("build --config-env account-a --no-cached", "build --config-env account-a --no-cached"),
        (
            "deploy --config-env access --parameter-overrides no value",
            "deploy --config-env access --parameter-overrides no value",
        ),
        (
            "deploy --config-env account-b --profile account-c --stack-name=two --no-confirm-changeset",
            "deploy --config-env account-b --no-confirm-changeset --profile account-c --stack-name two",
        ),
        (
            'deploy --parameter-overrides ConsumerAccountIds=333333333333 PreviousExternalId="" --config-env access',
            f'deploy --config-env access --parameter-overrides {" ".join(COMPLETED)} PreviousExternalId=""',
        ),
    ],
)
def test_the_projects_stacks_are_built_and_deployed_in_the_labs_copy(folder: Path, given: str, passed: str) -> None:
    cwd, *arguments = run(folder, *given.split())

    assert cwd == str(folder / "sam")
    assert [word for word in arguments if not word.startswith("Architecture=")] == passed.split()
    assert (folder / "sam/template-access.yaml").exists()


def test_parameters_can_be_in_a_file_of_the_users_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text('ConsumerAccountIds: "333333333333"\nExternalId: a b\n')
    given = ["--config-env", "access", "--parameter-overrides", f"file://{tmp_path / 'my.yaml'}"]

    assert {*COMPLETED, 'ExternalId="a b"'} <= set(run(folder, "deploy", *given))


@pytest.mark.parametrize("given", ["deploy", "deploy --stack-name own", "build --config-env own"])
def test_another_project_is_left_to_sam(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(folder, *given.split()) == [str(tmp_path), *given.split()]


@pytest.mark.parametrize("arguments", [["logs", "--stack-name", "a b"], []])
def test_other_commands_are_left_to_sam(folder: Path, tmp_path: Path, arguments: list[str]) -> None:
    commands = shell.write_commands(folder, "https://127.0.0.1:1", PROJECT)

    variables = {"PATH": "/usr/bin:/bin", "OUTPUT": str(tmp_path / "called")}
    done = subprocess.run([commands / "sam", *arguments], cwd=tmp_path, env=variables, check=False)

    assert done.returncode == 3
    assert called(folder) == [str(tmp_path), *arguments]
    # SAM may need the project's Python, but the user's own comes first.
    assert (tmp_path / "called.path").read_text() == f"/usr/bin:/bin:{Path(sys.executable).parent}"


def test_a_caller_is_completed_after_its_deployment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(shell, "session", lambda _, profile: profile)
    monkeypatch.setattr(shell, "stack_outputs", lambda account, stack: f"outputs of {stack} in {account}")
    monkeypatch.setattr("cross_account_lab.workarounds.complete_consumer", lambda *arguments: done.append(arguments))
    deploy = ["deploy", "--config-env", "account-b"]

    run(folder, *deploy)
    assert done == []
    sam = Path(sys.executable).with_name("sam")
    sam.write_text(sam.read_text().replace("exit 3", "exit 0"))
    lab = [str(folder), "https://127.0.0.1:1", str(PROJECT)]
    assert shell.main([*lab, *deploy, "--profile", "account-c", "--stack-name", "two"]) == 0

    assert done == [("account-c", "outputs of two in account-c")]
