"""What the documents say agrees with templates, tests and code."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import botocore.exceptions
import botocore.session
import pytest
from samtranslator.yaml_helper import yaml_parse

from cross_account_access.templates import PROJECT, Side, resolved, source, transformed
from cross_account_api import errors

OPERATE = (PROJECT / "docs/operate.md").read_text()
DEPLOY = (PROJECT / "docs/deploy.md").read_text()
SECURITY = (PROJECT / "docs/security.md").read_text()
MESSAGES = (PROJECT / "docs/call-api.md").read_text().partition("\n## Messages\n")[2]
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TEMPLATES = sorted(PROJECT.glob("template-*.yaml"))
SIDES: list[Side] = ["a", "b"]


def of_type(kind: str, side: Side) -> list[str]:
    return [name for name, item in resolved(side)["Resources"].items() if item["Type"] == kind]


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
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
    assert len(texts) > 100
    assert {path: found[0] for path, text in texts.items() if (found := advice.search(text))} == {}


def test_every_threat_names_tests_that_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", SECURITY)
    assert len(set(named)) > 50
    for path, test in named:
        if "/orders/" in path and not (PROJECT / "functions/orders").exists():
            continue  # The example was replaced, and its tests went with it.
        defined = ast.parse((PROJECT / "tests" / path).read_text()).body
        assert test in {node.name for node in defined if isinstance(node, ast.FunctionDef)}, f"{path}::{test}"

    section = SECURITY.split("## Threats")[1].split("\n## ")[0]
    threats = re.findall(r"^\| (?!threat |---)(.*) \| .* \| (.*) \|$", section, flags=re.MULTILINE)
    assert len(threats) > 25
    assert all("::test_" in shown or shown == "the same" for _, shown in threats)


@pytest.mark.parametrize("side", SIDES)
def test_every_alarm_is_described(side: Side) -> None:
    patterns = [name.replace("…", "[A-Z][a-z]+") for name in re.findall(r"`(\w[\w…]*Alarm)`", OPERATE)]
    alarms = of_type("AWS::CloudWatch::Alarm", side)
    assert [name for name in alarms if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
    everywhere = [*of_type("AWS::CloudWatch::Alarm", "a"), *of_type("AWS::CloudWatch::Alarm", "b")]
    assert all(any(re.fullmatch(pattern, name) for name in everywhere) for pattern in patterns)


def test_every_saved_query_is_named_on_its_side() -> None:
    rows = re.findall(r"^\| .*\? \| (`[a-z-]+`) \| (`[a-z-]+`) \|$", OPERATE, flags=re.MULTILINE)
    for column, side in enumerate(SIDES):
        saved = {
            item["Properties"]["Name"].rpartition("/")[2]
            for item in resolved(side)["Resources"].values()
            if item["Type"] == "AWS::Logs::QueryDefinition"
        }
        assert {row[column].strip("`") for row in rows} == saved


def test_commands_give_parameters_that_exist() -> None:
    parameters = {name for template in TEMPLATES for name in yaml_parse(template.read_text())["Parameters"]}
    text = "".join(document.read_text() for document in DOCUMENTS)
    given = set(re.findall(r"\b([A-Z][a-z]+[A-Z]\w+)=", text))
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


def test_every_error_is_explained() -> None:
    explained = set(re.findall(r"`(\w+Error)`", MESSAGES)) - {*vars(botocore.exceptions), "CredentialProcessError"}
    types = {name for name in vars(errors) if name.endswith("Error")}
    # Base classes; errors of the settings and of STS, whose own messages are explained; an expired token's 403.
    types -= {"CallError", "ResponseError", "ApiError", "SettingsError", "AssumeRoleError", "ForbiddenError"}
    types -= {"ThrottledError", "ExpiredSessionError"}
    assert explained == types


def test_the_first_deployment_is_a_checklist() -> None:
    items = re.findall(r"^- \[ \] \*\*(\d+)\. ", DEPLOY, flags=re.MULTILINE)
    assert len(items) >= 12
    assert items == [str(number) for number in range(1, len(items) + 1)]
    assert DEPLOY.count("*Expected:*") == len(items)


def test_the_first_deployment_names_the_aws_cli_that_its_commands_need() -> None:
    of_version_2 = {"logs tail", "configure export-credentials", "--cli-binary-format"}
    assert any(command in DEPLOY for command in of_version_2)
    assert "AWS CLI **version 2**" in DEPLOY


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


def test_the_stack_set_commands_pass_a_template_that_cloudformation_takes(tmp_path: Path) -> None:
    (commands,) = (block for block in re.findall(r"```sh\n(.*?)```", OPERATE, re.DOTALL) if "create-stack-set" in block)
    (tmp_path / "processed.json").write_text(json.dumps(transformed("b")))
    (tmp_path / "aws").write_text(AWS_CLI.format(python=sys.executable))
    (tmp_path / "aws").chmod(0o755)
    script = f'export PATH="$PWD:$PATH"\n{commands}'
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, timeout=600)

    passed = (tmp_path / "plain.json").read_bytes()
    assert json.loads(passed) == transformed("b")
    # CloudFormation's limit, less room for the keys of a bucket with a long name.
    assert len(passed) < 51_200 - 2_000

    model = botocore.session.get_session().get_service_model("cloudformation")
    created, instances = (json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines())
    for call, operation in ((created, "CreateStackSet"), (instances, "CreateStackInstances")):
        known = model.operation_model(operation).input_shape
        assert known is not None
        given = {word.removeprefix("--") for word in call if word.startswith("--")}
        assert given <= {re.sub("(?<!^)(?=[A-Z])", "-", name).lower() for name in known.members}
        assert {re.sub("(?<!^)(?=[A-Z])", "-", name).lower() for name in known.required_members} <= given
    assert created[created.index("--template-body") + 1] == "file://plain.json"
    set_parameters = set(re.findall(r"ParameterKey=(\w+),ParameterValue=", " ".join(created)))
    required = {name for name, item in source("b")["Parameters"].items() if "Default" not in item}
    assert required <= set_parameters <= set(source("b")["Parameters"])
