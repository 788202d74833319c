"""A comparison of revisions finds what was gained and lost, and nothing where policies are only written differently."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from access.__main__ import main
from access.diff import Change, RevisionError, checkout, compare, compare_all, documents_of
from access.engine.case import Case
from access.matrix import documents
from access.model import Model
from access.templates import FILES, PROJECT
from access.variants import variants
from tests.access import oracles
from tests.access.cases import cases
from tests.access.mutations import Fault, faults, rewrites

VARIANTS = variants()
NARROWED = VARIANTS["narrowed"]
IAM = {"User", "AssumedRole", "Account"}

# Labels that follow from what a fault is; the first rule that fits counts.
LABELS: dict[str, set[str]] = {
    r".* with (\w+IfExists|ForAllValues:\w+)": {"", "gain", "loss", "gain loss"},
    r".*: (an administrator's statement|execute-api:Invoke on every API) added": {"gain"},
    r".* resource: Deny\w+: (left out|effect turned round)": {"gain", "gain loss"},
    r".* resource: Deny\w+: .*(narrowed).*": {"", "gain"},
    r".* (trust|identity|resource): \w+: (left out|one action less)": {"loss", "loss gain"},
    r".* (trust|identity|resource): \w+: effect turned round": {"loss", "gain loss"},
    r".* (trust|identity): \w+: (every action|every action of the service|every resource|one action more)": {"gain"},
    r".* resource: Allow for everybody added": {"", "gain"},
}


def label(changes: Iterable[Change]) -> str:
    return " ".join(sorted({"gain" if change.gained else "loss" for change in changes}))


@pytest.fixture(scope="module")
def corpus() -> list[tuple[Fault, list[Change]]]:
    """Every sixth fault."""
    chosen = itertools.islice(faults(NARROWED), None, None, 6)
    return [(fault, list(compare(NARROWED, fault.model))) for fault in chosen]


def test_policies_that_are_written_differently_are_no_change() -> None:
    found = {rewrite.name: list(compare(NARROWED, rewrite.model)) for rewrite in rewrites(NARROWED)}
    assert len(found) > 60
    assert {name for name, changes in found.items() if changes} == set()


def test_seeded_faults_have_the_label_that_follows_from_what_they_are(corpus: list[tuple[Fault, list[Change]]]) -> None:
    wrong = []
    for fault, changes in corpus:
        expected = next((labels for rule, labels in LABELS.items() if re.fullmatch(rule, fault.name)), None)
        if expected is not None and label(changes) not in {" ".join(sorted(item.split())) for item in expected}:
            wrong.append((fault.name, label(changes)))
    assert wrong == []
    labels = [label(changes) for _, changes in corpus]
    assert {"", "gain", "loss", "gain loss"} == set(labels)
    assert min(labels.count(each) for each in ("", "gain", "loss")) > 5


def test_an_oracle_confirms_every_witness(corpus: list[tuple[Fault, list[Change]]]) -> None:
    confirmed = 0
    for fault, changes in corpus:
        confirmed += confirm(oracles.reach, NARROWED, fault.model, changes)
    assert confirmed > 80


@pytest.mark.usefixtures("node")
def test_another_oracle_confirms_witnesses(corpus: list[tuple[Fault, list[Change]]]) -> None:
    confirmed = 0
    for fault, changes in random.Random(3).sample(corpus, 30):  # noqa: S311 - the same sample each time
        confirmed += confirm(oracles.simulate, NARROWED, fault.model, changes)
    assert confirmed > 20


def test_no_witness_is_a_request_that_aws_never_takes(corpus: list[tuple[Fault, list[Change]]]) -> None:
    witnesses = [change.witness for _, changes in corpus for change in changes if change.witness]
    assert {case.principal.type for case in witnesses} == {
        "User",
        "AssumedRole",
        "Account",
        "FederatedUser",
        "Anonymous",
        "",
    }
    for case in witnesses:
        if case.action.startswith("sts:") and case.policy:
            assert case.principal.type in {"User", "AssumedRole", ""}
        if case.principal.type == "Anonymous":
            assert case.action.startswith("sqs:"), "what is signed, or refused by API Gateway"
        if case.principal.type:
            assert not {"aws:SourceAccount", "aws:SourceArn"} & {*case.context}


def test_services_that_no_policy_names_are_one_kind_of_caller(corpus: list[tuple[Fault, list[Change]]]) -> None:
    everyone = {change.who for _, changes in corpus for change in changes}
    assert "any service" in everyone
    assert {who for who in everyone if who.startswith("the service")} <= {
        f"the service {name}.amazonaws.com"
        for name in ("apigateway", "events", "lambda", "scheduler", "cloudwatch", "sns")
    }


def confirm(oracle: oracles.Oracle, base: Model, head: Model, changes: Sequence[Change]) -> int:
    """Let an oracle decide the witnesses of IAM principals, before and after."""
    asked = [
        (change, change.witness)
        for change in changes
        if change.witness
        and change.witness.principal.type in IAM
        and (oracle is oracles.reach or _can_be_simulated(change.witness))
    ]
    if not asked:
        return 0
    witnesses = [witness for _, witness in asked]
    decisions = [oracle(witnesses, documents_of(model)) for model in (base, head)]
    count = 0
    for (change, witness), before, after in zip(asked, *decisions, strict=True):
        if before is not None and after is not None:
            assert (before, after) == (not change.gained, change.gained), f"{change.what}: {witness}"
            count += 1
    return count


def _can_be_simulated(witness: Case) -> bool:
    """Say whether iam-simulate takes a request: with a trust policy for AssumeRole, and an action that there is.

    It leaves out the condition keys that AWS does not document for an action; of SetContext, those of AssumeRole.
    """
    if witness.action in {"sts:SetContext", "sts:TagResource", "execute-api:TagResource"}:
        return False
    has_trust = bool(witness.policy) or not witness.action.startswith("sts:")
    return has_trust and bool(re.fullmatch(r"[a-z-]+:[A-Z][A-Za-z]+", witness.action))


def test_what_an_oracle_sees_change_is_reported(corpus: list[tuple[Fault, list[Change]]]) -> None:
    """The other way round: of requests that are not the comparison's own, none changes unnoticed."""
    everything = cases(NARROWED)
    chance = random.Random(4)  # noqa: S311 - the same sample each time
    seen = 0
    for fault, changes in corpus:
        concerned = [case for case in everything if fault.document in (case.policy, *case.identity)]
        intended = [case for case in concerned if case.intended]
        requests = chance.sample(intended, min(20, len(intended))) + chance.sample(concerned, min(150, len(concerned)))
        before, after = (oracles.reach(requests, documents(model)) for model in (NARROWED, fault.model))
        changed = {now for was, now in zip(before, after, strict=True) if was is not now and now is not None}
        seen += len(changed)
        assert changed <= {change.gained for change in changes}, fault.name
    assert seen > 20


# --- Revisions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with this project's templates in its only revision."""
    folder = tmp_path / "repository"
    for path in (*FILES.values(), "docs/openapi.yaml"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text((PROJECT / path).read_text())
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "base")
    return folder


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, stdout=subprocess.PIPE)


def edit(folder: Path, pattern: str, replacement: str, path: str = "template-account-a.yaml") -> None:
    text = (folder / path).read_text()
    changed = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert changed != text
    (folder / path).write_text(changed)


def changes_of(repository: Path, tmp_path: Path) -> list[Change]:
    base = checkout("HEAD", tmp_path / "base", repository)
    return compare_all(variants(base, compared_with=repository), variants(repository, compared_with=base))


def lines(changes: Iterable[Change]) -> list[str]:
    return [f"{'+' if change.gained else '-'} {change.who}: {change.what}" for change in changes]


@pytest.mark.parametrize(
    ("pattern", "replacement", "expected"),
    [
        (r"Sid: AssumeForUsers", "Sid: LetUsersIn", []),
        (
            r"Bool: !If \[RequiresMfa",
            "BoolIfExists: !If [RequiresMfa",
            ["+ IAM users of a consumer account: assume ExecutorRole"],
        ),
        (
            r"^        Auth:\n          DefaultAuthorizer: AWS_IAM",
            "        Auth:\n          DefaultAuthorizer: NONE",
            [],
        ),
        (
            r"(  RequireMfaForUsers:\n(.*\n)*?    Default: )\"true\"",
            r"\1" + '"false"',
            ["+ IAM users of a consumer account: assume ExecutorRole"],
        ),
    ],
    ids=["a Sid renamed", "MFA weakened", "no signature", "another default"],
)
def test_changes_of_the_template(
    repository: Path, tmp_path: Path, pattern: str, replacement: str, expected: list[str]
) -> None:
    if "Auth:" in pattern:
        pattern, replacement = "DefaultAuthorizer: AWS_IAM", "DefaultAuthorizer: NONE"
        expected = [
            f"+ anyone: {route} with the authorizer NONE instead of AWS_IAM"
            for route in sorted(map(str, VARIANTS["defaults"].routes))
        ]
    edit(repository, pattern, replacement)
    assert lines(changes_of(repository, tmp_path)) == expected


def test_changes_of_the_template_for_other_apis(repository: Path, tmp_path: Path) -> None:
    edit(repository, r"Bool: !If \[RequiresMfa", "BoolIfExists: !If [RequiresMfa", "template-access.yaml")
    (change,) = changes_of(repository, tmp_path)
    assert lines([change]) == ["+ IAM users of a consumer account: assume access.ExecutorRole"]
    assert change.decided_by == ("access.ExecutorRole trust: AssumeForUsers",)


def test_a_template_that_is_new_gives_access(repository: Path, tmp_path: Path) -> None:
    git(repository, "rm", "--quiet", "--cached", "template-access.yaml")
    git(repository, "commit", "--quiet", "--message", "without")
    found = lines(changes_of(repository, tmp_path))
    assert "+ roles of a consumer account: assume access.ExecutorRole" in found
    assert not [line for line in found if line.startswith("-")]


def test_the_parameters_that_both_revisions_have_are_compared(repository: Path, tmp_path: Path) -> None:
    """A parameter that is new, and off by default, changes nothing yet."""
    edit(repository, r"^  StageName:\n    Type", "  Extra:\n    Type: String\n    Default: none\n\\g<0>")
    assert changes_of(repository, tmp_path) == []


def test_a_revision_that_is_not_there_is_an_error(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match="nowhere"):
        checkout("nowhere", tmp_path, repository)


@pytest.fixture
def weakened(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    edit(repository, r"Bool: !If \[RequiresMfa", "BoolIfExists: !If [RequiresMfa")
    monkeypatch.setattr("access.__main__.PROJECT", repository)
    return repository


def test_the_command_fails_on_a_gain_unless_it_is_allowed(weakened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "Access gained: 1. Access lost: 0." in shown
    assert "decides: ExecutorRole trust: AssumeForUsers" in shown
    assert "without aws:MultiFactorAuthPresent" in shown
    assert main(["diff", "HEAD", "--allow-gain"]) == 0
    assert main(["diff", "HEAD", "--head", "HEAD"]) == 0
    assert "No change of access" in capsys.readouterr().out


def test_what_is_lost_does_not_fail(weakened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(weakened, "commit", "--all", "--quiet", "--message", "weakened")
    assert main(["diff", "HEAD", "--head", "HEAD~1", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(change["gained"], change["what"]) for change in found["changes"]] == [(False, "assume ExecutorRole")]
    assert found["changes"][0]["witness"]["principal"]["type"] == "User"
    assert (found["base"], found["head"]) == ("HEAD", "HEAD~1")


def test_markdown_has_a_row_for_each_change(weakened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "HEAD", "--format", "markdown"]) == 1
    page = capsys.readouterr().out
    row = "| IAM users of a consumer account | `assume ExecutorRole` | `ExecutorRole trust: AssumeForUsers` |"
    assert row in page
    assert "  - witness: `arn:aws:iam::222222222222:user/other does sts:AssumeRole on" in page


def test_a_revision_that_is_not_there_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "nowhere"]) == 2
    assert "RevisionError: fatal: invalid object name 'nowhere'." in capsys.readouterr().out


@pytest.mark.parametrize("form", ["terminal", "markdown", "json"])
def test_a_crash_is_no_verdict(form: str, weakened: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 would say that access was gained, and that it was compared."""
    (weakened / "template-account-a.yaml").write_text("Resources: [")
    assert main(["diff", "HEAD", "--format", form]) == 2
    assert re.fullmatch(r"cannot be judged: \w+Error: .+\n", capsys.readouterr().out)
