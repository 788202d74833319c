"""The examples in the documentation run as they are written there, and the tools sign as its table says."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cross_account_access.project import PROJECT
from cross_account_lab.judge.judge import SignedApi, serve
from cross_account_lab.judge.tools import CASES, Tool, find_tools, find_wrong

TEXT = (PROJECT / "docs/other-languages.md").read_text()
EXAMPLES = {
    section.partition("\n")[0]: code
    for section in TEXT.split("\n### ")[1:]
    for code in re.findall(r"^```\w+\n(.*?)^```$", section, re.M | re.S)
}
KEY_PARTS = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
PATH = f"{PROJECT / '.aws-cli-venv/bin'}{os.pathsep}{os.environ['PATH']}"
EVERY_CASE = """
for (const [number, request] of JSON.parse(process.argv[1]).entries()) {
  process.argv = ["node", "caller.mjs", ...request];
  await import(`${process.cwd()}/caller.mjs?${number}`);
}
"""
"""Runs the example of Node once for each request, in one process: to start it takes longer than all the rest."""


@pytest.fixture(scope="module")
def api() -> Iterator[SignedApi]:
    with serve() as api:
        yield api


class Caller:
    """An example, ready to be run."""

    tools: tuple[str, ...] = ("curl",)
    file, command = "caller.sh", ["sh", "caller.sh"]

    def __init__(self, title: str, api: SignedApi, folder: Path) -> None:
        if missing := [tool for tool in self.tools if not shutil.which(tool, path=PATH)]:
            pytest.skip(f"{missing[0]} is not installed")
        (folder / self.file).write_text(EXAMPLES[title])
        self._folder = folder
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environment = own | {"PATH": PATH, "HOME": str(folder)} | dict(api.environment)

    def run(self, *command: str) -> str:
        options: dict[str, Any] = {"cwd": self._folder, "env": self._environment, "timeout": 540}
        ran = subprocess.run(command, check=False, capture_output=True, text=True, **options)
        assert ran.returncode == 0, ran.stderr
        return str(ran.stdout)

    def call(self, *arguments: str) -> tuple[str, int]:
        body, _, status = self.run(*self.command, *arguments).rstrip("\n").rpartition("\n")
        return body, int(status)

    def call_all(self, requests: list[list[str]]) -> None:
        """Make many calls, which signs what curl cannot sign."""


class AwsCli(Caller):
    tools = ("curl", "aws")


class Node(Caller):
    tools, file, command = ("node",), "caller.mjs", ["node", "caller.mjs"]

    def call_all(self, requests: list[list[str]]) -> None:
        self.run("node", "--input-type=module", "-e", EVERY_CASE, json.dumps(requests))


class Go(Caller):
    tools, file, command = ("go",), "caller.go", ["./caller"]

    def __init__(self, title: str, api: SignedApi, folder: Path) -> None:
        super().__init__(title, api, folder)
        self.run("go", "build", "-o", "caller", "caller.go")

    def call_all(self, requests: list[list[str]]) -> None:
        for request in requests:
            self.call(*request)


CALLERS = {"Shell with the AWS CLI's credentials": AwsCli, "curl alone": Caller, "Node": Node, "Go": Go}
# A skip would fail with CI=true, and no machine of the project's has Go as a matter of course.
RUNNABLE = [title for title, caller in CALLERS.items() if caller is not Go or shutil.which("go")]


@pytest.mark.parametrize("title", RUNNABLE)
def test_an_example_runs_as_it_is_written(title: str, api: SignedApi, tmp_path: Path) -> None:
    assert EXAMPLES.keys() == CALLERS.keys()
    caller = CALLERS[title](title, api, tmp_path)
    api.judge.verdicts.clear()

    assert caller.call("GET", "/whoami")[1] == 200
    body, status = caller.call("POST", "/orders?a=1&b=2", '{"sku":"tea"}')
    assert ('"body": "{\\"sku\\":\\"tea\\"}"' in body, status) == (True, 200)
    assert caller.call("GET", "/redirect")[1] == 307
    assert caller.call("GET", "/expire")[1] == 200

    targets = ["/v1/whoami", "/v1/orders?a=1&b=2", "/v1/redirect", "/v1/expire"]
    assert [request.target for request in api.accepted] == targets
    assert {request.values("x-amz-security-token")[0][:14] for request in api.accepted} == {"session-token-"}
    caller.call_all([[case["method"], case["path"], *filter(None, [case.get("body")])] for case in CASES])
    assert api.refused == []
    assert len(api.accepted) in (4, 4 + len(CASES))  # the others leave signing to curl


CONTROLS = {
    "curl 7.88": (["query: two parameters, not sorted", "path: a space"], ["query: a space", "body: JSON"]),
    "awscurl 0.44": (["query: a space"], ["query: two parameters, not sorted", "path: a space"]),
    "`client.auth`, httpx2": ([], ["query: a space", "body: query and body"]),
}


# Other versions of curl and awscurl may sign otherwise; the table has what was measured.
@pytest.mark.parametrize(
    ("tool", "wrong", "right"),
    [(tool, *CONTROLS[name]) for name in CONTROLS for tool in find_tools(None) if tool.name.startswith(name)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_table_tells_right_from_wrong(tool: Tool, wrong: list[str], right: list[str], api: SignedApi) -> None:
    found = find_wrong(tool, api, [case for case in CASES if f"{case['kind']}: {case['name']}" in wrong + right])

    assert list(found) == wrong
    assert all("signed as it was sent" in reason or "encoded twice" in reason for reason in found.values()), found


def test_the_table_lists_every_case_that_it_counts() -> None:
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (.+) \|$", TEXT, re.M)
    names = {re.sub("^body: ", "", f"{case['kind']}: {case['name']}") for case in CASES}
    wrong = [set(listed.split("; ")) - {"none"} for _, _, listed in rows]

    assert set().union(*wrong) <= names
    assert [int(right) for _, right, _ in rows] == [len(CASES) - len(listed) for listed in wrong]
    assert len(rows) == 8


@pytest.mark.parametrize(("kind", "status"), [("signed", 200), ("unsigned", 403)])
def test_the_load_of_the_throttling_check_is_signed_or_not(
    kind: str, status: int, api: SignedApi, tmp_path: Path
) -> None:
    pages = "".join(page.read_text() for page in (PROJECT / "docs").glob("*.md"))
    (script,) = re.findall(r"cat >throttle.py <<'EOF'\n(.*?)\n *EOF\n", pages, re.DOTALL)
    name, secret, token = (api.environment[f"AWS_{part}"] for part in KEY_PARTS)
    (tmp_path / "config").write_text(
        f"[profile orders]\naws_access_key_id = {name}\naws_secret_access_key = {secret}\n"
        f"aws_session_token = {token}\nregion = eu-west-1\n"
    )
    before = len(api.judge.verdicts)
    own = {variable: value for variable, value in os.environ.items() if not variable.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), api.url, kind, "1", "/whoami", "/orders"],
        env=own | {"AWS_CONFIG_FILE": str(tmp_path / "config"), "NO_PROXY": "*"},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert sorted(done.stdout.splitlines()) == [f"{kind} /orders {status} 200", f"{kind} /whoami {status} 200"]
    assert len(api.judge.verdicts) - before == 400
