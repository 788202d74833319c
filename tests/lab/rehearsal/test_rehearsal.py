"""A project of one's own, made, changed and tried by the commands and texts of docs/your-backend.md."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from cross_account_access.project import PROJECT

PAGE = (PROJECT / "docs/your-backend.md").read_text()
TEMPLATE = "template-account-a.yaml"
IMPORTS = """
import json
import os

import orjson
from cross_account_backend import UnknownCallerError, error_body, identify


def handler(event, context):
    try:
        identify(event, os.environ["EXECUTOR_ROLE_IDS"].split(","))
    except UnknownCallerError as error:
        return {"statusCode": 403, "body": json.dumps(error_body(event, "forbidden", str(error)))}
    return {"statusCode": 202, "body": orjson.dumps({"accepted": True}).decode()}
"""
CONTRACT = """\
  /imports:
    post:
      parameters: [{name: Idempotency-Key, in: header, required: true, schema: {type: string}, example: import-1}]
      responses: {"202": {description: Accepted.}}
"""
CASE = """\
        case "GET", "/products/{product_id}":
            return 200, {"id": event["pathParameters"]["product_id"]}
"""


def blocks(heading: str, language: str = "yaml") -> list[str]:
    """The code of a section of the page."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert section, heading
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.M | re.S)


class Copy:
    """The project, with nothing of this repository on any path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST", "COV", "GIT_", "PYTHON", "VIRTUAL_ENV", "CI", "MAKE", "MFLAGS", "ARGS"))
        }
        self.environment["PATH"] = os.pathsep.join(
            entry for entry in os.environ["PATH"].split(os.pathsep) if not entry.startswith(str(PROJECT))
        )

    def run(self, *command: str, code: int = 0, cwd: Path | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self.environment | {"COLUMNS": "160"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=1800,
        )
        assert done.returncode == code, f"{' '.join(command)}\n{done.stdout[-6000:]}"
        return done.stdout

    def insert(self, path: str, line: str, text: str, *, before: bool = False) -> None:
        """Put text behind the one line that matches, or before it."""
        lines = (self.folder / path).read_text().splitlines(keepends=True)
        [place] = [number for number, found in enumerate(lines) if re.search(line, found)]
        lines.insert(place if before else place + 1, text)
        (self.folder / path).write_text("".join(lines))

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-qm", "mine")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The project as the page's first commands make it."""
    folder = tmp_path_factory.mktemp("rehearsal") / "products"
    copy = Copy(folder)
    [commands] = re.findall(r"^```sh\n(make init .*?)^```$", PAGE, re.M | re.S)
    init = commands.splitlines()[0].split("#")[0].replace("../products", str(folder))
    copy.run("bash", "-c", init, cwd=PROJECT)
    return copy


@pytest.fixture(scope="module")
def changed(fresh: Copy) -> Copy:
    """Another route, a table, a compiled dependency, a second function whose role SAM makes: as the page shows them."""
    event, grant, path = blocks("Routes")
    table, statement = blocks("Data and dependencies")
    [makefile] = blocks("A second function", "make")
    [function] = blocks("A second function")
    *_, arn = grant.splitlines(keepends=True)
    fresh.insert(TEMPLATE, r"Method: GET, Path: /products\}", event)
    fresh.insert(TEMPLATE, r"GET/products$", grant + arn.replace("GET/products/*", "POST/imports"))
    fresh.insert(TEMPLATE, r"^  # --- Backend", f"\n{table}\n{function}")
    fresh.insert(TEMPLATE, r"# These actions do not support resource-level", statement, before=True)
    fresh.insert(TEMPLATE, r"^          POWERTOOLS_SERVICE_NAME", "          TABLE: !Ref ProductsTable\n", before=True)
    with (fresh.folder / "docs/openapi.yaml").open("a") as contract:
        contract.write(path + CONTRACT)
    fresh.insert("functions/backend/handler.py", r'return 200, \{"items": \[\]\}', CASE)
    (fresh.folder / "functions/imports").mkdir()
    (fresh.folder / "functions/imports/handler.py").write_text(IMPORTS)
    fresh.insert("functions/Makefile", r"^build-ProductsFunction", makefile)
    pyproject = fresh.folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("backend = []", 'backend = ["orjson"]'))
    fresh.run("make", "lock")
    requirements = fresh.folder / "functions/backend/requirements.txt"
    assert "orjson==" in requirements.read_text()
    (fresh.folder / "functions/imports/requirements.txt").write_text(requirements.read_text())
    fresh.commit()
    return fresh


def test_it_is_green_at_once_and_uses_nothing_of_this_repository(fresh: Copy) -> None:
    assert "4 passed" in fresh.run("make", "test")
    fresh.run("make", "check")
    code = "import cross_account_api, cross_account_lab; print(cross_account_api.__file__, cross_account_lab.__file__)"
    for place in fresh.run(".venv/bin/python", "-c", code).split():
        assert place.startswith(str(fresh.folder / ".venv"))


def test_the_demo_shows_the_changed_api(changed: Copy) -> None:
    demo = changed.run("make", "demo")

    assert re.search(r"(\d+) of \1 as expected", demo)
    assert "/imports" in demo
    assert "fewer rights" in demo
    assert re.search(r"its (POST|GET) /\S+ succeeded:\n  it logged 2[0-9]{2} after ", demo)
    shown = demo[demo.index("Account B") :].splitlines()
    assert len(shown) <= 55
    assert max(map(len, shown)) <= 100
    assert "\x1b" not in demo


def test_access_is_proven_for_the_changed_api(changed: Copy) -> None:
    assert "Access is as the contract says" in changed.run("make", "access")


def test_access_diff_says_what_was_gained(changed: Copy) -> None:
    first = changed.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    report = changed.run(".venv/bin/python", "-m", "cross_account_access", "diff", first, "--format", "json", code=1)

    assert json.loads(report)
    assert "sessions of ExecutorRole" in report
    assert "/GET/products/" in report
