"""The steps of docs/your-own-api.md, taken in a copy of the repository: another API takes the example's place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from cross_account_access.templates import PROJECT
from tests.support import wheels

PRODUCTS = Path(__file__).parent / "products"
GUIDE = (PROJECT / "docs/your-own-api.md").read_text()
STEP = re.compile(r"^\d\. \*\*(?P<title>[^*]+):\*\* (?P<paths>.+)\n(?P<text>(?:\n| {3}.*\n)*)", re.M)
TEMPLATE = "template-account-a.yaml"


class Copy:
    """A copy of the repository with an environment in which nothing but the copy's own code can be imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / name, folder / name)
        (folder / ".lab-venv").symlink_to(PROJECT / ".lab-venv")
        self._index = {
            "UV_FIND_LINKS": str(wheels.write(folder.with_name("index"), {})),
            "UV_CACHE_DIR": str(folder.with_name("cache")),
            "UV_OFFLINE": "1",
        }
        self._make_venv()
        self.git("init", "--quiet")
        self.commit()

    def _make_venv(self) -> None:
        """Share the installed packages, but not the .pth file that leads to the project's own folders."""
        venv.create(self.folder / ".venv", symlinks=True)
        scripts, own = Path(sys.executable).parent, self.folder / ".venv/bin"
        for script in scripts.iterdir():
            if not (own / script.name).exists():
                (own / script.name).symlink_to(script)
        (packages,) = self.folder.glob(".venv/lib/python*/site-packages")
        paths = [str(self.folder / "functions"), str(self.folder), sysconfig.get_path("purelib")]
        (packages / "copy.pth").write_text("\n".join(paths))

    def run(self, *command: str, check: bool = True, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
        # With CI, what the copy does not have would fail instead of skip.
        own = ("PYTEST", "COV", "GIT", "CI", "MAKE", "MFLAGS")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=inherited | self._index | {"PATH": f"{self.folder}/.venv/bin:{os.environ['PATH']}", "COLUMNS": "160"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}"
        return done

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(f"{self.folder}/.venv/bin/python", *arguments, check=check)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.org", "-c", "commit.gpgsign=false")
        return self.run("git", *identity, *arguments).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a step")

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        before = (self.folder / path).read_text()
        after = change(before)
        assert after != before, f"nothing to change in {path}"
        (self.folder / path).write_text(after)

    def overlay(self, *paths: str) -> None:
        """Put files of the other API where they belong."""
        for path in paths:
            if (PRODUCTS / path).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(PRODUCTS / path, self.folder / path, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy(PRODUCTS / path, self.folder / path)


def replace_blocks(template: str) -> str:
    """Write the resources by hand that the guide names, and take those out that it says to delete."""
    block = r"^  {}:\n(?:(?:    .*)?\n)*"
    new = (PRODUCTS / TEMPLATE).read_text()
    for name in re.findall(r"^  (\w+):$", new, re.M):
        (own,) = re.findall(block.format(name), new, re.M)
        template, count = re.subn(block.format(name), own.replace("\\", r"\\"), template, flags=re.M)
        assert count == 1, name
    for name in ("IdempotencyTable", "StoreThrottledAlarm"):
        template, count = re.subn(block.format(name), "", template, flags=re.M)
        assert count == 1, name
    # The dashboard: the alarm, metrics of the example's code, of its indexes and second table, and widgets left empty.
    template = re.sub(r',\s+"\$\{StoreThrottledAlarm\.Arn\}"', "", template)
    gone = r'"CrossAccountApi", "|"GlobalSecondaryIndexName"|IdempotencyTable'
    template = re.sub(
        rf',?\n +\["AWS/DynamoDB"[^\n]*(?:{gone})[^\n]*?\}}\]|,?\n +\["CrossAccountApi", "[^\n]*?"\}}\]', "", template
    )
    return re.sub(r'\n {10}\{"type": "metric"[^\n]*\n[^\n]*\n +"metrics": \[\]\}\},', "", template)


def write_calls(copy: Copy) -> None:
    """Give each call of the example another path; keys, queues and envelopes stay."""
    for path in copy.folder.glob("events/*.json"):
        path.write_text(
            re.sub(r'"/(orders|whoami)(?=\\?")', r'"/shops/7/products', path.read_text()).replace(
                r"\"/orders", r"\"/shops/7/products"
            )
        )
    copy.edit("docs/operations.md", lambda text: re.sub(r"^\| `StoreThrottledAlarm`.*\n", "", text, flags=re.M))


BY_HAND: dict[str, Callable[[Copy], None]] = {
    "Your function": lambda copy: copy.overlay("functions/products", "tests/unit/products"),
    "Your routes, grants and data": lambda copy: copy.edit(TEMPLATE, replace_blocks),
    "Your contract": lambda copy: copy.overlay("docs/openapi.yaml"),
    "Your calls": write_calls,
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The copy after all steps: commands as they are written, the rest by hand."""
    folder = tmp_path_factory.mktemp("rehearsal")
    (folder / "copy").mkdir()
    (folder / "index").mkdir()
    copy = Copy(folder / "copy")
    steps = list(STEP.finditer(GUIDE))
    by_hand = dict(BY_HAND)
    touched: dict[str, list[str]] = {}
    for step in steps:
        if step["title"] in by_hand:
            by_hand.pop(step["title"])(copy)
        for script in re.findall(r"^   ```sh\n(.*?)^   ```$", step["text"], re.M | re.S):
            copy.run("bash", "-eu", "-c", script)
        named = re.findall(r"`([^`]+)`", step["paths"])
        changed = [line[3:] for line in copy.git("status", "--porcelain", "--no-renames", "-uall").splitlines()]
        assert changed, f"{step['title']}: changes nothing"
        for path in changed:
            assert any(fnmatch(path, f"{name.rstrip('/')}*") for name in named), f"{step['title']} does not name {path}"
        touched[step["title"]] = changed
        copy.commit()
    assert by_hand == {}, "steps that the guide does not have"
    first = copy.git("rev-list", "--max-parents=0", "HEAD").strip()
    print(copy.git("diff", "--numstat", "--no-renames", "--diff-filter=MA", first))  # noqa: T201 - with `pytest -s`
    return copy


def test_modules_come_from_the_copy(copy: Copy) -> None:
    code = """
from importlib.util import find_spec
for name in ("access", "cross_account_api", "lab", "products", "orders"):
    spec = find_spec(name)
    print(spec and spec.origin)
"""
    found = copy.python("-c", code).stdout.splitlines()
    folders = ("access", "functions/cross_account_api", "lab", "functions/products")
    assert [Path(origin).parent for origin in found[1:4]] == [copy.folder / folder for folder in folders[1:]]
    assert found[4] == "None"
    assert {*copy.python("-c", "import access; print(*access.__path__)").stdout.split()} == {
        str(copy.folder / "cross_account_access")
    }


def test_the_requirements_of_the_new_function_are_locked(copy: Copy) -> None:
    """No other lock file changed: the guide does not name one."""
    assert (copy.folder / "functions/products/requirements.txt").read_text() == ""


def test_nothing_else_names_the_example(copy: Copy) -> None:
    names = r"OrdersApi|OrdersFunction|OrdersTable|OrdersLogGroup|functions/orders|orders\.handler"
    files = (
        "*.py",
        "*.yaml",
        "*.yml",
        "*.toml",
        "*Makefile",
        ":!tests/rehearsal",
        ":!tests/templates/test_documents.py",
    )
    assert copy.run("git", "grep", "-nE", names, "--", *files, check=False).stdout == ""


def test_the_demo_shows_every_route_of_the_new_api(copy: Copy) -> None:
    demo = copy.python("-m", "cross_account_lab", "demo")
    print(demo.stdout)  # noqa: T201 - with `pytest -s`
    assert "40 of 40 as expected" in demo.stdout
    assert re.search(r"GET +PUT +GET", demo.stdout)
    assert "/imports" in demo.stdout


def test_access_is_as_the_contract_says(copy: Copy) -> None:
    report = copy.python("-m", "cross_account_access")
    print(report.stdout)  # noqa: T201 - with `pytest -s`
    assert "Access is as the contract says" in report.stdout


def test_the_tests_pass(copy: Copy) -> None:
    """All that is quick and about the API; every other test can at least be collected."""
    quick = ("tests/unit/products", "tests/unit/lab", "tests/unit/caller", "tests/templates", "tests/access")
    chosen = "not (browser or architecture or lint)"
    only = ("-m", "not lab and not slow", "-k", chosen)
    tests = copy.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *only, *quick)
    print(tests.stdout)  # noqa: T201 - with `pytest -s`
    assert " passed" in tests.stdout
    assert "error" not in copy.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only").stdout[-200:]


def test_the_faults_seeded_into_another_template_are_judged_right(copy: Copy) -> None:
    """These tests are slow, and count and classify what the template contains."""
    chosen = (
        "tests/access/test_properties.py::test_every_seeded_fault_refutes_a_property[second]",
        "tests/access/test_diff.py::test_seeded_faults_have_the_label_that_follows_from_what_they_are",
    )
    assert "2 passed" in copy.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen).stdout


# A fault in the copy's template, and what refutes it.
FAULTS = {
    "a wildcard grant": (
        r"(/\$\{StageName\})/GET/shops/\*/products$",
        r"\1/*",
        "The executor role may do nothing but call the routes that the contract grants, on this API's stage",
    ),
    "a route without signature": (
        r"(Method: POST, Path: /imports)\}",
        r"\1, Auth: {Authorizer: NONE}}",
        "Every route of the API requires a signature (AWS_IAM) and has a function behind it",
    ),
    "MFA weakened": (
        r"Bool: !If \[RequiresMfaForUsers",
        "BoolIfExists: !If [RequiresMfaForUsers",
        "The executor role can be assumed by role sessions and users (with MFA",
    ),
    "no guard": (
        r"(Sid: DenyAllButExecutorSessions\n +Effect: )Deny",
        r"\1Allow",
        "The API's resource policy only denies",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_new_api_is_refuted_by_name(copy: Copy, fault: str) -> None:
    pattern, replacement, sentence = FAULTS[fault]
    copy.edit(TEMPLATE, lambda text: re.sub(pattern, replacement, text, count=1, flags=re.M))
    try:
        report = copy.python("-m", "cross_account_access", check=False)
    finally:
        copy.git("checkout", "--quiet", TEMPLATE)
    shown = " ".join(report.stdout.split())
    assert report.returncode == 1
    print(re.findall(r"refuted .*?(?= (?:proven|refuted) |$)", shown))  # noqa: T201 - with `pytest -s`
    assert f"refuted {sentence}" in shown
