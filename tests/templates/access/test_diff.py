"""The command compares the templates of two revisions, says what it compared, and fails as it promises."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from cross_account_access.__main__ import main
from cross_account_access.engine.fields import Account, Field
from cross_account_access.engine.solver import satisfied
from cross_account_access.revisions import CONFIG, configured, files_of
from cross_account_access.templates import PROJECT
from tests.support.scratch import commit, git

WEAKER = (r"Bool: !If \[RequiresMfa", "BoolIfExists: !If [RequiresMfa")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with this project's templates in its only revision."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, {path: (PROJECT / path).read_text() for path in (*configured(files_of(PROJECT, None)), CONFIG)})
    monkeypatch.setattr("cross_account_access.__main__.PROJECT", folder)
    monkeypatch.chdir(folder)
    return folder


def edit(folder: Path, pattern: str, replacement: str, path: str = "template-account-a.yaml") -> None:
    text = (folder / path).read_text()
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text
    (folder / path).write_text(changed)


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> set[str]:
    """Run the command, and return what it says changed."""
    capsys.readouterr()
    main(["diff", "HEAD", "--format", "json", *arguments])
    found = json.loads(capsys.readouterr().out)
    assert found["not_judged"] == []
    return changes(found["changes"])


def changes(found: Iterable[dict[str, object]]) -> set[str]:
    """Return changes in a line each; which of the accounts that gain is named is the solver's choice."""
    lines = (f"{'+' if change['gained'] else '-'} {change['who']}: {change['what']}" for change in found)
    return {re.sub("of (account 222222222222|any other account)", "of a consumer", line) for line in lines}


def test_what_a_parameter_of_the_deploy_role_newly_admits_is_access(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(repository, r"environment:\[\\w\.-\]\+", ".+", "template-deploy-role.yaml")
    assert lines(capsys) == {"+ whoever the parameter admits: Subjects now admits 'repo:a/a:a'"}


WATCHED = """
Parameters: {Mode: {Type: String, AllowedValues: [one, two]}}
Conditions: {One: !Equals [!Ref Mode, one]}
Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Environment: !If [One, {Variables: {EXECUTOR_ROLE_IDS: AROAONE}}, !Ref AWS::NoValue]
"""


def test_another_list_of_roles_that_the_backend_serves_is_access(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(repository, {"backend.yaml": WATCHED})
    edit(repository, "ONE}", "TWO}", "backend.yaml")
    found = lines(capsys, "--template", "backend.yaml")
    assert {line.partition(":")[0] for line in found} == {
        f"{sign} whoever EXECUTOR_ROLE_IDS of Function names" for sign in "+-"
    }


def test_a_witness_is_of_the_account_that_its_session_is_named_after() -> None:
    account, session = Account("account"), Field("name of the session")
    named_after = account.begins(session, "-")
    model = satisfied(account.guarantees, session.guarantees, named_after)
    assert session.value(model).startswith(f"{account.value(model)}-")


def test_a_template_that_is_new_gives_access(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (repository / "template-access.yaml").read_text()
    (repository / "template-access.yaml").unlink()
    commit(repository)
    (repository / "template-access.yaml").write_text(content)
    # Its key meters; but where a method asks for nothing else, a key in a plan is a right.
    found = lines(capsys, "--accept", "AWS::ApiGateway::UsagePlanKey")
    assert found & {
        f"+ {who} of a consumer: assume ExecutorRole" for who in ("roles", "IAM users")
    }  # the solver's choice
    assert not [line for line in found if line.startswith("-")]


def test_the_codes_tell_a_gain_from_what_is_not_judged(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD"]) == 0
    assert "No change of access" in capsys.readouterr().out
    edit(repository, *WEAKER)
    assert main(["diff", "HEAD"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "decides: ExecutorRole trust: AssumeForUsers" in shown
    assert "without aws:MultiFactorAuthPresent" in shown
    assert main(["diff", "HEAD", "--allow-gain"]) == 0
    assert main(["diff", "HEAD", "--head", "HEAD"]) == 0
    edit(repository, r"^Resources:$", "Resources:\n  Grant: {Type: Custom::Grant, Properties: {ServiceToken: x}}")
    assert main(["diff", "HEAD"]) == 1
    assert main(["diff", "HEAD", "--allow-gain"]) == 2
    assert main(["diff", "HEAD", "--allow-gain", "--accept", "Custom::Grant"]) == 0


def test_what_is_lost_does_not_fail(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(repository, *WEAKER)
    commit(repository)
    assert main(["diff", "HEAD", "--head", "HEAD~1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert changes(found["changes"]) == {"- IAM users of a consumer: assume ExecutorRole"}
    assert (found["base"], found["head"]) == ("HEAD", "HEAD~1")


FOREIGN = """
Parameters: {Partner: {Type: String, AllowedPattern: "[0-9]{12}"}}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: {Effect: Allow, Principal: {AWS: !Ref Partner}, Action: sts:AssumeRole}
"""


def test_anybodys_template_is_judged_with_its_parameters(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository / "stacks"
    commit(repository, {"stacks/partner.yaml": FOREIGN})
    edit(folder, "!Ref Partner", '[!Ref Partner, "333333333333"]', "partner.yaml")
    monkeypatch.chdir(folder)
    # Its users, too: they are counted in the same line.
    assert lines(capsys, "--template", "partner.yaml") == {"+ roles of account 333333333333: assume Role"}
    given = ("--template", "partner.yaml", "--parameter", "Partner=333333333333")
    assert lines(capsys, *given) == set(), "the partner is that account"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere",), "RevisionError: "),
        (("HEAD", "--template", "template-none.yaml"), "Neither revision has template-none.yaml"),
        (("HEAD", "--parameter", "None=1"), "No template has the parameter None"),
        (("HEAD", "--parameter", "None"), "cannot be judged: ValueError"),
        (("HEAD", "--template", "broken.yaml"), "broken.yaml is not YAML"),
    ],
)
def test_what_cannot_be_judged_is_said_in_a_line(
    repository: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    (repository / "broken.yaml").write_text("Resources: [")
    assert main(["diff", *arguments]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert reason in line
