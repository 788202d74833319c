"""The callers in docs/callers sign as AWS asks, and the tools as the table in docs/other-languages.md says."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cross_account_access.project import PROJECT
from cross_account_lab.judge.judge import ROLE_ARN, SESSION_NAME, SignedApi, serve
from cross_account_lab.judge.sts import EXTERNAL_ID
from cross_account_lab.judge.tools import CASES, Tool, find_tools, find_wrong

EXAMPLES = PROJECT / "docs/callers"
PATH = f"{PROJECT / '.aws-cli-venv/bin'}{os.pathsep}{os.environ['PATH']}"
CALLERS = {
    "aws-cli.sh": ("sh", "curl", "aws"),
    "curl.sh": ("sh", "curl"),
    "caller.mjs": ("node",),
    "caller.go": ("go",),
}
"""By name of an example: what runs it, and what else it needs."""

EVERY_CASE = """
const [, , file, requests] = process.argv;
for (const [number, request] of JSON.parse(requests).entries()) {
  process.argv = ["node", file, ...request];
  await import(`${file}?${number}`);
}
"""
"""Runs the example of Node once for each request, in one process: to start it takes longer than all the rest."""

# A skip would fail with CI=true, and no machine of the project's has Go as a matter of course.
RUNNABLE = [name for name, tools in CALLERS.items() if "go" not in tools or shutil.which("go")]


@pytest.fixture(scope="module")
def api() -> Iterator[SignedApi]:
    with serve() as api:
        yield api


class Caller:
    """An example, ready to be run."""

    def __init__(self, name: str, api: SignedApi, folder: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._environment = own | {"PATH": PATH, "HOME": str(folder)} | dict(api.environment)
        self.file = str(EXAMPLES / name)
        self.command = [CALLERS[name][0], self.file]
        if name == "caller.go":
            self.command = [str(folder / "caller")]
            self.run("go", "build", "-o", *self.command, self.file)

    def run(self, *command: str) -> str:
        ran = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=540, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def call(self, *arguments: str) -> tuple[str, int]:
        body, _, status = self.run(*self.command, *arguments).rstrip("\n").rpartition("\n")
        return body, int(status)

    def call_all(self, requests: list[list[str]]) -> None:
        if self.file.endswith(".mjs"):
            self.run("node", "--input-type=module", "-e", EVERY_CASE, "-", self.file, json.dumps(requests))
        else:
            for request in requests:
                self.call(*request)


def test_every_example_is_tried() -> None:
    assert {file.name for file in EXAMPLES.iterdir()} == CALLERS.keys()


@pytest.mark.parametrize("name", RUNNABLE)
def test_an_example_runs_as_it_is_written(name: str, api: SignedApi, tmp_path: Path) -> None:
    if missing := [tool for tool in CALLERS[name] if not shutil.which(tool, path=PATH)]:
        pytest.skip(f"{missing[0]} is not installed")
    caller = Caller(name, api, tmp_path)
    api.judge.verdicts.clear()

    assert caller.call("GET", "/whoami")[1] == 200
    body, status = caller.call("POST", "/orders?a=1&b=2", '{"sku":"tea"}')
    assert ('"body": "{\\"sku\\":\\"tea\\"}"' in body, status) == (True, 200)
    assert caller.call("GET", "/redirect")[1] == 307
    assert caller.call("GET", "/expire")[1] == 200

    targets = ["/v1/whoami", "/v1/orders?a=1&b=2", "/v1/redirect", "/v1/expire"]
    assert [request.target for request in api.accepted] == targets
    assert {request.values("x-amz-security-token")[0][:14] for request in api.accepted} == {"session-token-"}
    if not name.endswith(".sh"):  # those leave signing to curl
        caller.call_all([[case["method"], case["path"], *filter(None, [case.get("body")])] for case in CASES])
        assert len(api.accepted) == 4 + len(CASES)
    assert api.refused == []


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
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (.+) \|$", (PROJECT / "docs/other-languages.md").read_text(), re.M)
    names = {re.sub("^body: ", "", f"{case['kind']}: {case['name']}") for case in CASES}
    wrong = [set(listed.split("; ")) - {"none"} for _, _, listed in rows]

    assert set().union(*wrong) <= names
    assert [int(right) for _, right, _ in rows] == [len(CASES) - len(listed) for listed in wrong]
    assert len(rows) == 8


def test_the_load_of_the_throttling_check_is_signed(api: SignedApi, tmp_path: Path) -> None:
    script = "tests/lab/deployed/throttle.py"
    assert f"python {script} " in (PROJECT / "docs/checklist.sh").read_text()
    (tmp_path / "config").write_text(
        f"[profile orders]\nrole_arn = {ROLE_ARN}\ncredential_source = Environment\n"
        f"external_id = {EXTERNAL_ID}\nrole_session_name = {SESSION_NAME}\n"
    )
    done = subprocess.run(
        [sys.executable, str(PROJECT / script), api.url, "signed", "1", "/whoami", "/orders"],
        env={**os.environ, **api.environment, "AWS_CONFIG_FILE": str(tmp_path / "config"), "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert sorted(done.stdout.splitlines()) == ["signed /orders 200 200", "signed /whoami 200 200"]
