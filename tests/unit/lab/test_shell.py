"""`sam` in a lab's shell: the project's stacks are built and deployed in the lab's copy, all else runs as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cross_account_lab import shell
from cross_account_lab.sam import PROJECT

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
    folder = tmp_path / "a lab's folder"
    folder.mkdir()
    return folder


def called(folder: Path) -> list[str]:
    return (folder.parent / "called").read_text().splitlines()


def run(folder: Path, *arguments: str) -> list[str]:
    """Run it as the script does; return the working folder and the arguments of the real SAM CLI."""
    assert shell.main([str(folder), "https://127.0.0.1:1", str(PROJECT), *arguments]) == 3
    return called(folder)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["--config-env", "access"], []),
        (["--config-env", "access", "--parameter-overrides", "no value"], ["--parameter-overrides", "no value"]),
        (
            ["--config-env", "account-b", "--profile", "account-c", "--stack-name=two", "--no-confirm-changeset"],
            ["--no-confirm-changeset", "--profile", "account-c", "--stack-name", "two"],
        ),
        (
            [
                "--parameter-overrides",
                "ConsumerAccountIds=333333333333",
                'PreviousExternalId=""',
                "--config-env",
                "access",
            ],
            [
                "--parameter-overrides",
                'ConsumerSessionName="333333333333-*"',
                'RequireMfaForUsers="false"',
                'ConsumerAccountIds="333333333333"',
                'PreviousExternalId=""',
            ],
        ),
    ],
)
def test_a_deployment_happens_in_the_labs_copy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], passed: list[str]
) -> None:
    monkeypatch.chdir(PROJECT)

    cwd, *arguments = run(folder, "deploy", *given)

    assert cwd == str(folder / "sam")
    env = arguments[2]
    assert [name for name in arguments if not name.startswith("Architecture=")] == [
        "deploy",
        "--config-env",
        env,
        *passed,
    ]
    assert (folder / "sam/template-access.yaml").exists()


def test_parameters_can_be_in_a_file_of_the_users_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    (tmp_path / "my.yaml").write_text('ConsumerAccountIds: "333333333333"\nExternalId: a b\n')

    arguments = run(
        folder, "deploy", "--config-env", "access", "--parameter-overrides", f"file://{tmp_path / 'my.yaml'}"
    )

    assert {'ConsumerAccountIds="333333333333"', 'ConsumerSessionName="333333333333-*"', 'ExternalId="a b"'} <= set(
        arguments
    )


def test_a_build_happens_in_the_labs_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)

    assert run(folder, "build", "--config-env", "account-a", "--no-cached") == [
        *(str(folder / "sam"), "build", "--config-env", "account-a", "--no-cached")
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy"],
        ["deploy", "--stack-name", "own"],
        ["build", "--config-env", "own"],
        ["deploy", "--config-env", "own"],
    ],
)
def test_another_project_is_left_to_sam(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(folder, *arguments) == [str(tmp_path), *arguments]


@pytest.mark.parametrize("arguments", [["logs", "--stack-name", "a b"], [], ["list", "stack-outputs"]])
def test_other_commands_are_left_to_sam(folder: Path, tmp_path: Path, arguments: list[str]) -> None:
    commands = shell.write_commands(folder, "https://127.0.0.1:1", PROJECT)

    variables = {"PATH": "/usr/bin:/bin", "OUTPUT": str(tmp_path / "called")}
    done = subprocess.run([commands / "sam", *arguments], cwd=tmp_path, env=variables, check=False)

    assert done.returncode == 3
    assert called(folder) == [str(tmp_path), *arguments]
    # SAM may need the project's Python, but the user's own comes first.
    assert (tmp_path / "called.path").read_text() == f"/usr/bin:/bin:{Path(sys.executable).parent}"


def test_a_caller_is_completed_after_its_deployment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(shell, "session", lambda _, profile: profile)
    monkeypatch.setattr(shell, "stack_outputs", lambda account, stack: {"account": account, "stack": stack})
    monkeypatch.setattr("cross_account_lab.workarounds.complete_consumer", lambda *arguments: done.append(arguments))
    deploy = [str(folder), "https://127.0.0.1:1", str(PROJECT), "deploy", "--config-env", "account-b"]

    assert shell.main(deploy) == 3
    assert done == []
    sam = Path(sys.executable).with_name("sam")
    sam.write_text(sam.read_text().replace("exit 3", "exit 0"))
    assert shell.main([*deploy, "--profile", "account-c", "--stack-name", "two"]) == 0

    assert json.dumps(done) == '[["account-c", {"account": "account-c", "stack": "two"}]]'
