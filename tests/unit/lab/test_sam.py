from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cross_account_lab.sam import Sam, SamError


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sam:
    """SAM CLI replaced by a script that records its arguments and fails on demand."""
    script = tmp_path / "bin/sam"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\necho "$@" >> calls\nenv > environment\nls > sources\n[ "$3" != broken ] || { echo boom; exit 7; }\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script.parent / "python"))
    (tmp_path / "copy").mkdir()
    return Sam(tmp_path / "copy", {"AWS_CONFIG_FILE": "the lab's"}, "https://127.0.0.1:1")


def test_builds_run_in_a_copy_of_the_sources(sam: Sam) -> None:
    sam.build(["account-a", "account-b"])

    assert sorted((sam.folder / "calls").read_text().splitlines()) == [
        "build --config-env account-a",
        "build --config-env account-b",
    ]
    assert {"functions", "samconfig.toml", "template-account-a.yaml"} < set(
        (sam.folder / "sources").read_text().split()
    )
    assert not list((sam.folder / "functions").rglob("__pycache__"))


def test_a_build_takes_the_present_sources(sam: Sam) -> None:
    sam.build(["account-a"])
    (sam.folder / "samconfig.toml").write_text("old")

    sam.build(["account-a"])

    assert (sam.folder / "samconfig.toml").read_text() != "old"


def test_arguments_follow_the_section(sam: Sam) -> None:
    sam.run("deploy", "account-a", "--parameter-overrides", 'Name="a b"')

    assert (sam.folder / "calls").read_text() == 'deploy --config-env account-a --parameter-overrides Name="a b"\n'


def test_the_users_own_aws_settings_stay_away(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-my-own")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.example")

    sam.run("deploy", "account-a")

    environment = (sam.folder / "environment").read_text().splitlines()
    assert "AWS_CONFIG_FILE=the lab's" in environment
    assert "PIP_INDEX_URL=https://pypi.example" in environment
    assert not [line for line in environment if line.startswith(("AWS_PROFILE=", "AWS_ACCESS_KEY_ID="))]


@pytest.mark.parametrize(
    ("lower", "upper", "both"),
    [
        (None, None, ("127.0.0.1", "127.0.0.1")),
        ("registry.example", None, ("127.0.0.1,registry.example",) * 2),
        (None, "registry.example", ("127.0.0.1,registry.example",) * 2),
        ("a.example", "b.example,c.example", ("127.0.0.1,a.example", "127.0.0.1,b.example,c.example")),
        ("*", "", ("*", "*")),
    ],
)
def test_hosts_without_a_proxy_stay_without(
    sam: Sam, monkeypatch: pytest.MonkeyPatch, lower: str | None, upper: str | None, both: tuple[str, str]
) -> None:
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)

    sam.run("deploy", "account-a")

    environment = (sam.folder / "environment").read_text().splitlines()
    assert f"no_proxy={both[0]}" in environment
    assert f"NO_PROXY={both[1]}" in environment


def test_a_failure_says_which_command_and_why(sam: Sam) -> None:
    with pytest.raises(SamError, match=r"^sam deploy --config-env broken failed \(7\):\nboom$"):
        sam.run("deploy", "broken")


def test_a_build_that_fails_ends_the_others(sam: Sam) -> None:
    with pytest.raises(SamError, match="sam build --config-env broken failed"):
        sam.build(["broken", "account-b"])
