"""The callers in docs/callers sign as AWS asks, and the tools as the table in docs/other-languages.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cross_account_access.project import PROJECT
from cross_account_lab.judge.judge import SignedApi, serve
from cross_account_lab.judge.tools import CASES, Tool, find_tools, find_wrong

TEXT = (PROJECT / "docs/other-languages.md").read_text()
EXAMPLES = PROJECT / "docs/callers"
AWS_CLI = PROJECT / ".aws-cli-venv/bin"
CALLERS = {
    "aws-cli.sh": ("curl", "aws"),
    "curl.sh": ("curl",),
    "caller.mjs": ("node",),
    "caller.go": ("go",),
}
# A skip would fail with CI=true, and no machine of the project's has Go as a matter of course.
RUNNABLE = [name for name, tools in CALLERS.items() if "go" not in tools or shutil.which("go")]


@pytest.fixture(scope="module")
def api() -> Iterator[SignedApi]:
    with serve() as api:
        yield api


class Caller:
    """An example, ready to be run."""

    def __init__(self, name: str, api: SignedApi, folder: Path) -> None:
        file = EXAMPLES / name
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        own |= {"PATH": f"{AWS_CLI}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
        self.environment = own | dict(api.environment)
        commands = {".sh": ["sh", str(file)], ".mjs": ["node", str(file)], ".go": [str(folder / "caller")]}
        self.command = commands[file.suffix]
        if file.suffix == ".go":
            build = ["go", "build", "-o", "caller", str(file)]
            subprocess.run(build, cwd=folder, env=self.environment, check=True, timeout=540)

    def call(self, *arguments: str) -> tuple[str, int]:
        ran = subprocess.run(
            [*self.command, *arguments], env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert ran.returncode == 0, ran.stderr
        body, _, status = ran.stdout.rstrip("\n").rpartition("\n")
        return body, int(status)


def test_every_example_is_tried() -> None:
    assert {file.name for file in EXAMPLES.iterdir()} == CALLERS.keys()


@pytest.mark.parametrize("name", RUNNABLE)
def test_an_example_runs_as_it_is_written(name: str, api: SignedApi, tmp_path: Path) -> None:
    path = f"{AWS_CLI}{os.pathsep}{os.environ['PATH']}"
    if missing := [tool for tool in CALLERS[name] if not shutil.which(tool, path=path)]:
        pytest.skip(f"{missing[0]} is not installed")
    caller = Caller(name, api, tmp_path)
    api.judge.verdicts.clear()

    assert caller.call("GET", "/whoami")[1] == 200
    body, status = caller.call("POST", "/orders?a=1&b=2", '{"sku":"tea"}')
    assert ('"body": "{\\"sku\\":\\"tea\\"}"' in body, status) == (True, 200)
    assert caller.call("GET", "/redirect")[1] == 307
    assert caller.call("GET", "/expire")[1] == 200

    assert [request.target for request in api.accepted] == [
        "/v1/whoami",
        "/v1/orders?a=1&b=2",
        "/v1/redirect",
        "/v1/expire",
    ]
    assert {request.values("x-amz-security-token")[0][:14] for request in api.accepted} == {"session-token-"}
    assert api.refused == []
    if name in ("caller.mjs", "caller.go"):  # the others leave signing to curl
        for case in CASES:
            caller.call(case["method"], case["path"], *filter(None, [case.get("body")]))
        assert api.refused == []


TOOLS = list(find_tools(None))


def pick(*names: str) -> list[dict[str, str]]:
    return [case for case in CASES if f"{case['kind']}: {case['name']}" in names]


CONTROLS = {
    "curl 7.88": (["query: two parameters, not sorted", "path: a space"], ["query: a space", "body: JSON"]),
    "awscurl 0.44": (["query: a space"], ["query: two parameters, not sorted", "path: a space"]),
    "`client.auth`, httpx2": ([], ["query: a space", "body: query and body"]),
}


# Other versions of curl and awscurl may sign otherwise; the table has what was measured.
@pytest.mark.parametrize(
    ("tool", "wrong", "right"),
    [(tool, *controls) for name, controls in CONTROLS.items() for tool in TOOLS if tool.name.startswith(name)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_table_tells_right_from_wrong(tool: Tool, wrong: list[str], right: list[str], api: SignedApi) -> None:
    found = find_wrong(tool, api, pick(*wrong, *right))

    assert list(found) == wrong
    assert all("signed as it was sent" in reason or "encoded twice" in reason for reason in found.values()), found


def test_the_table_lists_every_case_that_it_counts() -> None:
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (.+) \|$", TEXT, re.M)
    names = {re.sub("^body: ", "", f"{case['kind']}: {case['name']}") for case in CASES}

    assert len(rows) == 8
    for _, right, listed in rows:
        wrong = set(listed.split("; ")) - {"none"}
        assert wrong <= names
        assert int(right) == len(CASES) - len(wrong)
