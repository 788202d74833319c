"""The steps of the first deployment that docs/deploy.md names are in docs/checklist.sh, and run what exists."""

import re
import subprocess

import botocore.session
import pytest
from botocore import xform_name

from cross_account_access.templates import PROJECT, source

PAGE = (PROJECT / "docs/deploy.md").read_text()
COMMAND = r"""#!/bin/sh
{ printf '%s\037' "${0##*/}" "$@"; echo; } >>"$CALLS"
echo found
"""
SCRIPT = """
export CALLS="$PWD/calls" PATH="$PWD:/usr/bin:/bin" ACCOUNT_B=222222222222 EXTERNAL_ID=of-a-test AWS_REGION=eu-west-3
. "$0"
test "$AWS_REGION $AWS_DEFAULT_REGION" = "eu-west-3 eu-west-3"
"""
OF_ALL_COMMANDS = {"cli-binary-format", "output", "profile", "query"}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The commands of all steps as the page gives them."""
    folder = tmp_path_factory.mktemp("checklist")
    for name in ("aws", "call-api", "curl", "make", "python"):
        (folder / name).write_text(COMMAND)
        (folder / name).chmod(0o755)
    steps = re.findall(r"`((?:step_\d+|deploy_b|smoke_test|throttle)\b[^`]*)`", PAGE)
    assert len(steps) > 12
    script = "\n".join([SCRIPT, *steps])
    command = ["bash", "-euo", "pipefail", "-c", script, str(PROJECT / "docs/checklist.sh")]
    subprocess.run(command, cwd=folder, check=True, timeout=600)
    return [line.split("\037")[:-1] for line in (folder / "calls").read_text().splitlines()]


def test_every_command_of_aws_exists_with_its_parameters(calls: list[list[str]]) -> None:
    session = botocore.session.get_session()
    requests = {tuple(call) for call in calls if call[0] == "aws" and call[2] not in ("tail", "export-credentials")}
    assert len(requests) > 10
    for _, service, command, *words in requests:
        model = session.get_service_model(service)
        [operation] = [name for name in model.operation_names if xform_name(name, "-") == command]
        shape = model.operation_model(operation).input_shape
        assert shape
        given = {word.removeprefix("--") for word in words if word.startswith("--")} - OF_ALL_COMMANDS
        assert given <= {xform_name(name, "-") for name in shape.members}
        assert {xform_name(name, "-") for name in shape.required_members} <= given


def test_every_parameter_of_a_stack_exists(calls: list[list[str]]) -> None:
    parameters = {"deploy-a": source("a")["Parameters"], "deploy-b": source("b")["Parameters"]}
    deployments = [call[1:] for call in calls if call[0] == "make"]
    assert len(deployments) > 4
    for target, arguments in deployments:
        given = set(re.findall(r"\b([A-Z]\w+)=", arguments.removeprefix("ARGS=")))
        assert given
        assert given <= parameters[target].keys()
