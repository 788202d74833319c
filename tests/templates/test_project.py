"""A project of `init`: what is in it, what is refused, and how a newer version is merged into it."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from cross_account_access.project import PROJECT
from cross_account_api import __version__
from cross_account_project.__main__ import main
from tests.support.scratch import commit, git

EXAMPLE_ONLY = {"OrdersTable", "IdempotencyTable", "StoreThrottledAlarm"}
MOST_FILES = 25
REFUSED = ["", "3d", "my_shop", "my shop", "-x", "x-", "a--b", "x" * 41, "Über", "whoami", "access", "../shop"]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


class Release:
    """A version of both distributions, built from a copy of the sources."""

    def __init__(self, folder: Path, version: str, *changes: tuple[str, str, str]) -> None:
        self.version = version
        paths = "cross_account_* functions .github *.toml template-* README.md LICENSE .python-version action.yml"
        for name in git(PROJECT, "ls-files", *paths.split()).splitlines():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / "source" / name)
        versions = ("pyproject.toml", "functions/pyproject.toml", "functions/cross_account_api/version.py")
        for path, old, new in [*((path, f'"{__version__}"', f'"{version}"') for path in versions), *changes]:
            edit(folder / "source" / path, old, new)
        self.wheels = folder / "wheels"
        for source in (folder / "source/functions", folder / "source"):
            subprocess.run(
                [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", self.wheels],
                cwd=source,
                check=True,
                capture_output=True,
            )

    def upgrade(self, project: Path) -> subprocess.CompletedProcess[str]:
        """Run this version's own command, from its wheel."""
        [wheel] = self.wheels.glob("cross_account_api_dev-*.whl")
        program = [sys.executable, "-m", "cross_account_project"]
        return subprocess.run(
            [*program, "upgrade", project, "--wheels", self.wheels],
            env={**os.environ, "PYTHONPATH": str(wheel)},
            cwd=wheel.parent,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(tmp_path_factory.mktemp("first"), "7.1.0")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(
        tmp_path_factory.mktemp("second"),
        "7.2.0",
        ("template-account-a.yaml", "      Timeout: 15\n", "      Timeout: 20\n"),
        ("template-account-b.yaml", "Parameters:\n", "Parameters:\n  # Something new.\n"),
        ("cross_account_project/files/gitignore", "build/\n", "build/\ndist/\n"),
    )


@pytest.fixture
def project(tmp_path: Path, first: Release) -> Path:
    folder = tmp_path / "shop"
    assert main(["init", str(folder), "my-shop", "--wheels", str(first.wheels)]) == 0
    return folder


# --- init ---


def test_a_project_is_small_committed_and_says_nothing_of_the_example(project: Path) -> None:
    names = git(project, "ls-files").splitlines()

    assert len(names) <= MOST_FILES
    assert git(project, "status", "--porcelain") == ""
    for name in names:
        if not name.endswith((".whl", "requirements.txt")):
            assert re.findall(r"(?i)\borders?\b|order_|Orders|oolong", (project / name).read_text()) == [], name


def test_the_template_has_our_resources_but_the_example_s(project: Path) -> None:
    ours = set(yaml_parse((PROJECT / "template-account-a.yaml").read_text())["Resources"])
    theirs = set(yaml_parse((project / "template-account-a.yaml").read_text())["Resources"])

    assert theirs == {name.replace("Orders", "MyShop") for name in ours - EXAMPLE_ONLY}


def test_what_no_example_is_in_is_ours_to_the_letter(project: Path) -> None:
    for name in ("template-access.yaml", "template-account-b.yaml", "template-deploy-role.yaml", "samconfig.toml"):
        ours = (PROJECT / name).read_text().replace("orders", "my-shop")
        assert (project / name).read_text() == ours


def test_the_dashboard_is_json_with_every_row_filled(project: Path) -> None:
    body = yaml_parse((project / "template-account-a.yaml").read_text())["Resources"]["Dashboard"]["Properties"]
    text = re.sub(r"\$\{LatencyThresholdMs\}", "1", body["DashboardBody"]["Fn::Sub"])
    widgets = yaml.safe_load(text)["widgets"]

    assert all(widget["properties"].get("metrics") != [] for widget in widgets)
    for row in {widget["y"] for widget in widgets}:
        ends = sorted((widget["x"], widget["x"] + widget["width"]) for widget in widgets if widget["y"] == row)
        assert all(end == start for (_, end), (start, _) in itertools.pairwise(ends))


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_is_not_allowed_changes_nothing(
    tmp_path: Path, first: Release, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "new"), "--wheels", str(first.wheels), "--", name]) == 2

    assert f"NAME is {name!r}" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_not_empty_is_left_alone(
    tmp_path: Path, first: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    assert main(["init", str(tmp_path), "shop", "--wheels", str(first.wheels)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_wheels_of_two_versions_are_refused(
    tmp_path: Path, first: Release, second: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(first.wheels / "cross_account_api-7.1.0-py3-none-any.whl", mixed)
    shutil.copy(second.wheels / "cross_account_api_dev-7.2.0-py3-none-any.whl", mixed)

    assert main(["init", str(tmp_path / "new"), "shop", "--wheels", str(mixed)]) == 2
    assert "one version of both wheels" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


# --- upgrade ---


def test_an_upgrade_keeps_what_is_the_user_s_and_brings_what_is_new(project: Path, second: Release) -> None:
    edit(project / "template-account-a.yaml", "Path: /my-shop", "Path: /items")
    edit(project / "functions/backend/handler.py", '"/my-shop"', '"/items"')
    commit(project, {"notes.md": "mine"})

    assert second.upgrade(project).returncode == 0

    template = (project / "template-account-a.yaml").read_text()
    assert "Path: /items" in template
    assert "Timeout: 20" in template
    assert "# Something new." in (project / "template-account-b.yaml").read_text()
    assert (project / "notes.md").read_text() == "mine"
    assert 'version = "7.2.0"' in (project / "pyproject.toml").read_text()
    assert {path.name for path in (project / "wheels").iterdir()} == {path.name for path in second.wheels.iterdir()}
    assert git(project, "status", "--porcelain") == ""


def test_a_project_in_a_folder_of_another_repository_is_upgraded_too(
    tmp_path: Path, first: Release, second: Release
) -> None:
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, {"other.txt": "other"})
    folder = tmp_path / "apis/shop"

    assert main(["init", str(folder), "shop", "--wheels", str(first.wheels)]) == 0
    assert second.upgrade(folder).returncode == 0
    assert "Timeout: 20" in (folder / "template-account-a.yaml").read_text()
    assert git(tmp_path, "ls-files", "other.txt") == "other.txt"


def test_conflicts_are_git_s_and_an_abort_leaves_everything_as_it_was(project: Path, second: Release) -> None:
    edit(project / "template-account-a.yaml", "Timeout: 15", "Timeout: 25")
    commit(project)
    before = git(project, "rev-parse", "HEAD^{tree}")

    done = second.upgrade(project)
    assert done.returncode == 1
    assert "conflicts in:\ntemplate-account-a.yaml\n" in done.stdout
    assert "Timeout: 25\n=======" in (project / "template-account-a.yaml").read_text()

    git(project, "cherry-pick", "--abort")
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "rev-parse", "HEAD^{tree}") == before


def test_changes_that_are_not_committed_are_not_at_risk(project: Path, second: Release) -> None:
    (project / "README.md").write_text("mine\n")

    done = second.upgrade(project)
    assert done.returncode == 2
    assert "commit or stash" in done.stderr
    assert (project / "README.md").read_text() == "mine\n"


def test_an_untracked_file_in_the_way_is_not_overwritten(project: Path, second: Release) -> None:
    mine = project / "wheels/cross_account_api-7.2.0-py3-none-any.whl"
    mine.write_text("mine")

    assert second.upgrade(project).returncode == 2
    assert mine.read_text() == "mine"


def test_the_same_version_changes_nothing(project: Path, first: Release) -> None:
    before = git(project, "rev-parse", "HEAD")

    assert first.upgrade(project).returncode == 0
    assert git(project, "rev-parse", "HEAD") == before


def test_a_folder_that_init_did_not_make_is_left_alone(tmp_path: Path, second: Release) -> None:
    done = second.upgrade(tmp_path)
    assert done.returncode == 2
    assert "no project of" in done.stderr
