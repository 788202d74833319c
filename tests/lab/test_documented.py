"""The commands of the documentation, word for word, in a lab's shell: other parameters, and more stacks."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from cross_account_access.templates import PROJECT
from cross_account_lab.access import routes
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from cross_account_lab.iam import credentials
from cross_account_lab.lab import ACCESS, STACK_NAMES, Lab
from cross_account_lab.sam import stack_outputs
from cross_account_lab.usage import environment_file
from tests.support.stacks import update

GRANTED = [route for route in routes() if route.promised and route.method == "GET" and "{" not in route.path]
TARGET, ONLY = GRANTED[0].example.target, GRANTED[-1].example.target


@dataclass
class Shell:
    """A terminal of a user who has sourced a lab's file, in the project's folder."""

    lab: Lab
    env_file: Path

    def run(self, command: str, *, succeeds: bool = True) -> str:
        """Run a command and return what it printed."""
        done = subprocess.run(
            ["bash", "-c", f". '{self.env_file}'\n{command}"],
            cwd=PROJECT,
            # Neither the project's tools nor its Python are on the user's PATH.
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.env_file.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode == 0) is succeeds, done.stdout
        return done.stdout

    def outputs(self, account: str, stack_name: str) -> dict[str, str]:
        """Return a stack's outputs."""
        return stack_outputs(self.lab.session(account), stack_name)

    def assume(self, who: Credentials, account: str, outputs: dict[str, str], external_id: str = "") -> Credentials:
        """Assume the executor role of a stack."""
        return credentials(
            self.lab.session(who)
            .client("sts")
            .assume_role(
                RoleArn=outputs["ExecutorRoleArn"],
                RoleSessionName=f"{ACCOUNT_IDS[account]}-ann",
                ExternalId=external_id or outputs["ExternalId"],
            )
        )


@pytest.fixture(scope="module")
def shell(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    env_file = tmp_path_factory.mktemp("shell") / "lab.env"
    with environment_file(lab, env_file):
        yield Shell(lab, env_file)
    admitted = lab.outputs.get(ACCESS, {}).get("ExecutorRoleId", "")
    update(lab, ACCOUNT_A, PreviousExternalId="", SuspendedConsumerIds="", MoreExecutorRoleIds=admitted)
    update(lab, ACCOUNT_B)


def documented(page: str, heading: str, **values: str) -> list[str]:
    """The commands in a section of a page, with values in place of what the reader has to replace."""
    section = (PROJECT / f"docs/{page}").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return filled(re.findall(r"^```(?:sh|console)\n(.*?)^```", section, re.MULTILINE | re.DOTALL), values)


def filled(blocks: list[str], values: dict[str, str]) -> list[str]:
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    commands = [line.removeprefix("$ ") for line in lines if line and not line.startswith("#")]
    for name, value in values.items():
        assert any(name in command for command in commands), name
        commands = [command.replace(name, value) for command in commands]
    return commands


def test_the_external_id_is_rotated_without_a_failed_call(shell: Shell) -> None:
    old = shell.outputs(ACCOUNT_A, STACK_NAMES[ACCOUNT_A])["ExternalId"]
    new = f"{old}-new"
    values = {"orders-7f3c9a51": old, "orders-new": new}
    both, each, drop = documented("operate.md", "Rotate the external id", **values)

    def accepted() -> set[str]:
        outputs, found = shell.outputs(ACCOUNT_A, STACK_NAMES[ACCOUNT_A]), set()
        for external_id in (old, new):
            # A new session each time: one from before would prove nothing.
            with suppress(shell.lab.session(ACCOUNT_B).client("sts").exceptions.ClientError):
                shell.assume(shell.lab.user_key, ACCOUNT_B, outputs, external_id)
                found.add(external_id)
        return found

    assert accepted() == {old}
    shell.run(both)
    assert accepted() == {old, new}
    assert shell.lab.invoke({"path": TARGET})["status"] == 200
    shell.run(each)
    assert shell.lab.invoke({"path": TARGET})["status"] == 200
    shell.run(drop)
    assert accepted() == {new}
    assert shell.lab.invoke({"path": TARGET})["status"] == 200


def test_another_consumer_gets_fewer_rights(shell: Shell) -> None:
    own = shell.outputs(ACCOUNT_A, STACK_NAMES[ACCOUNT_A])
    grant, show, admit, call, access = documented("existing-api.md", "Fewer rights for another consumer")

    def fill(command: str, found: dict[str, str]) -> str:
        filled = re.sub("<(\\w+)>", lambda name: found[name[1]], command.replace("<random text>", "of-c"))
        return filled.replace("GET/orders", f"GET{ONLY}").replace("CallPath=/orders", f"CallPath={ONLY}")

    shell.run(fill(grant, own))
    shown = shell.run(show)
    listed = {item["OutputKey"]: item["OutputValue"] for item in json.loads(shown[shown.index("[") :])}
    of_access = shell.outputs(ACCOUNT_A, "orders-for-c")
    assert listed == of_access
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": of_access["ExecutorRoleArn"]}
    user_c = shell.lab.user(ACCOUNT_C, "carl", may)
    session = shell.assume(user_c, ACCOUNT_C, of_access)
    # The API's guard does not know the role yet.
    assert shell.lab.request("GET", ONLY, session).status_code == 403

    shell.run(fill(admit, of_access))
    of_b = shell.assume(shell.lab.user_key, ACCOUNT_B, shell.outputs(ACCOUNT_A, STACK_NAMES[ACCOUNT_A]))
    may_b, may_c = (
        [str(route) for route in GRANTED if shell.lab.request("GET", route.example.target, who).ok]
        for who in (of_b, session)
    )
    assert may_b == [str(route) for route in GRANTED]
    assert may_c == [str(GRANTED[-1])]
    with pytest.raises(ClientError, match="AccessDenied"):
        shell.assume(shell.lab.user_key, ACCOUNT_B, of_access)

    shell.run(fill(call, {**own, **of_access}))
    event = f"--stack-name {STACK_NAMES[ACCOUNT_B]} --profile account-c --event"
    assert '"status": 200' in shell.run(f"""sam remote invoke CallerFunction {event} '{{"path": "{ONLY}"}}'""")

    report = shell.run(f"{access.removesuffix(chr(39))} --output {shell.env_file.with_name('report.html')}'")
    assert "Access is as the contract says" in report
    [cells] = re.findall(r"^The access stack's session +(\S.*)", report, re.MULTILINE)
    assert cells.count("✓ yes") == 1
    assert "An administrator of another account (333333333334)" in report


def test_an_api_that_exists_gets_a_role_and_a_caller_of_its_own(shell: Shell) -> None:
    blocks = re.findall(
        r"^```console\n(.*?)^```", (PROJECT / "docs/existing-api.md").read_text(), re.MULTILINE | re.DOTALL
    )
    grant, show, build, call = filled(blocks[:2], {"<random text>": "of-the-shop"})

    shell.run(grant)
    assert "ExecutorRoleArn" in shell.run(show)
    outputs = shell.outputs(ACCOUNT_A, "shop-for-b")
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": outputs["ExecutorRoleArn"]}
    assert shell.assume(shell.lab.user(ACCOUNT_B, "shopper", may), ACCOUNT_B, outputs).token

    shell.run(build)
    before = shell.outputs(ACCOUNT_B, STACK_NAMES[ACCOUNT_B])
    shell.run(re.sub("<(\\w+)>", lambda name: outputs[name[1]], call))
    assert shell.outputs(ACCOUNT_B, "shop-caller")["CallerFunctionName"] != before["CallerFunctionName"]
    assert shell.outputs(ACCOUNT_B, STACK_NAMES[ACCOUNT_B]) == before
