"""What the documents say agrees with templates, tests and code."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import botocore.session
import pytest
from samtranslator.yaml_helper import yaml_parse

from cross_account_access.templates import PROJECT, Side, transformed
from tests.templates.stacks import written

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
SECURITY = (PROJECT / "docs/security.md").read_text()
TEMPLATES = sorted(PROJECT.glob("template-*.yaml"))


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = document.parent / path if path else document
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_nobody_is_told_to_install_a_name_that_anybody_may_register() -> None:
    name = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["name"].replace("-", "[-_.]")
    advice = re.compile(
        rf"\b(?:install|download|add|run|uvx|pipx)\b[^`\n]*[\s\"'=]{name}(?!\.whl|[\w/-]|\.\w| @ )", re.IGNORECASE
    )
    for told in (f"pip install {name}", f'uv add "{name}[login]>=2"', f"uvx --from {name} call-api"):
        assert advice.search(told.replace("[-_.]", "-")), told
    for fine in ("pip install .", "pip install dist/cross_account_api-2.0.0-py3-none-any.whl"):
        assert not advice.search(fine), fine

    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True).stdout
    paths = [PROJECT / os.fsdecode(path) for path in tracked.split(b"\0") if path]
    texts = {path: path.read_text(errors="replace") for path in paths if path.is_file() and path != Path(__file__)}
    assert {path: found[0] for path, text in texts.items() if (found := advice.search(text))} == {}


def test_every_threat_names_tests_that_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", SECURITY)
    for path, test in named:
        if "/orders/" in path and not (PROJECT / "functions/orders").exists():
            continue  # The example was replaced, and its tests went with it.
        defined = ast.parse((PROJECT / "tests" / path).read_text()).body
        assert test in {node.name for node in defined if isinstance(node, ast.FunctionDef)}, f"{path}::{test}"

    section = SECURITY.split("## Threats")[1].split("\n## ")[0]
    threats = re.findall(r"^\| (?!threat |---)(.*) \| .* \| (.*) \|$", section, flags=re.MULTILINE)
    assert threats
    assert all("::test_" in shown or shown == "the same" for _, shown in threats)


def test_commands_give_parameters_that_exist() -> None:
    parameters = {name for template in TEMPLATES for name in yaml_parse(template.read_text())["Parameters"]}
    given = set(re.findall(r"\b([A-Z][a-z]+[A-Z]\w+)=", TEXT))
    # Of AWS's APIs, its CLI and boto3.
    given -= {
        "ConditionExpression",
        "DurationSeconds",
        "OrganizationalUnitIds",
        "OutputKey",
        "ParameterKey",
        "ParameterValue",
        "RetainStacksOnAccountRemoval",
        "RoleArn",
        "RoleSessionName",
        "SignedHeaders",
    }
    assert {"ConsumerAccountIds", "ExternalId", "PreviousExternalId"} <= given <= parameters


# Prints the template as the AWS CLI does, and keeps what it is called with.
AWS_CLI = """#!{python}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
if "get-template" in sys.argv:
    template = json.loads((folder / "processed.json").read_text())
    print(json.dumps(template, indent=4, ensure_ascii=False))
else:
    with (folder / "calls.jsonl").open("a") as calls:
        print(json.dumps(sys.argv[1:]), file=calls)
"""


@pytest.mark.parametrize(("name", "side"), [("orders-caller", "b"), ("shop-for-b", "access")])
def test_the_stack_set_commands_pass_a_template_that_cloudformation_takes(
    name: str, side: Side, tmp_path: Path
) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    (commands,) = (block for block in blocks if f"create-stack-set --stack-set-name {name} " in block)
    template = transformed("b") if side == "b" else written(side)
    (tmp_path / "processed.json").write_text(json.dumps(template))
    shutil.copy(PROJECT / "template-access.yaml", tmp_path)
    (tmp_path / "aws").write_text(AWS_CLI.format(python=sys.executable))
    (tmp_path / "aws").chmod(0o755)
    script = f'export PATH="$PWD:$PATH"\n{commands}'
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, timeout=600)

    created, instances = (json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines())
    passed = (tmp_path / created[created.index("--template-body") + 1].removeprefix("file://")).read_bytes()
    assert yaml_parse(passed) == template
    # CloudFormation's limit, less room for the keys of a bucket with a long name.
    assert len(passed) < 51_200 - 2_000

    model = botocore.session.get_session().get_service_model("cloudformation")
    for call, operation in ((created, "CreateStackSet"), (instances, "CreateStackInstances")):
        known = model.operation_model(operation).input_shape
        assert known is not None
        given = {word.removeprefix("--") for word in call if word.startswith("--")}
        assert given <= {re.sub("(?<!^)(?=[A-Z])", "-", name).lower() for name in known.members}
        assert {re.sub("(?<!^)(?=[A-Z])", "-", name).lower() for name in known.required_members} <= given
    of_set, of_instances = (
        set(re.findall(r"ParameterKey=(\w+),ParameterValue=", " ".join(call))) for call in (created, instances)
    )
    known_parameters = written(side)["Parameters"]
    assert {name for name, item in known_parameters.items() if "Default" not in item} <= of_set
    assert of_set | of_instances <= known_parameters.keys()
