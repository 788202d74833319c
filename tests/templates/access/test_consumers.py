"""The report on several consumers: who is a stranger, whose row it is, and who may do less than another."""

import re
from pathlib import Path

import pytest

from cross_account_access import matrix
from cross_account_access.__main__ import main
from cross_account_access.matrix import STRANGER, admitted_rows, stranger, subject
from cross_account_access.model import Model, load
from cross_account_access.templates import ACCOUNTS

C = STRANGER
GRANTED = next(route for route in load().routes if route.promised and "{" not in route.path)


def model_of(consumer: str) -> Model:
    """Account A's API with an access stack, whose role the API admits, for a consumer that may call one route."""
    own = load()
    access = {
        "ConsumerAccountIds": [consumer],
        "GrantedMethodArns": [f"{own.api_arn}/{own.stage}/{GRANTED.method}{GRANTED.path}"],
    }
    role = load(access=access).access_role
    assert role
    return load(a={"MoreExecutorRoleIds": [role.role_id]}, access=access)


def test_no_account_of_the_model_is_a_stranger() -> None:
    model = load(a={"ConsumerAccountIds": [ACCOUNTS["b"], C], "SuspendedConsumerIds": ["333333333334"]})
    assert stranger(model) == "333333333335"
    assert stranger(load(accounts={"a": ACCOUNTS["a"], "b": C})) == "333333333334"


def test_a_consumer_is_no_intruder_and_its_rows_say_who_it_is() -> None:
    model = model_of(C)
    of = matrix.access_subject(model)
    assert of

    rows = list(matrix.rows(model, of))

    assert [cell for row in rows for cell in row.cells if not cell.good] == []
    names = [f"{row.who} ({row.situation})" for row in rows]
    assert not [name for name in names if "ccount B" in name]
    assert f"A workload of account {C} (posing as account 333333333334)" in names
    assert "An administrator of another account (333333333334)" in names
    assert f"Account {C}'s root user ()" in names


def test_a_consumer_with_fewer_rights_is_beside_the_other_one() -> None:
    model = model_of(C)
    of = subject(model)
    (row,) = admitted_rows(model, of)
    allowed = [call for (call, _, _), cell in zip(of.calls, row.cells[1:], strict=True) if cell.decision.allowed]

    assert allowed == [str(GRANTED)]
    assert all(cell.good for cell in row.cells)
    assert f"assumed by account {C}" in row.situation


def test_a_role_that_the_api_does_not_admit_has_no_row() -> None:
    model = load(access={"ConsumerAccountIds": [C]})

    assert list(admitted_rows(model, subject(model))) == []


def test_the_command_reads_each_access_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = {"for-b": model_of(ACCOUNTS["b"]), "for-c": model_of(C)}
    asked: list[dict[str, str]] = []

    def read(_: object, stacks: dict[str, str]) -> Model:
        asked.append(stacks)
        return models[stacks["access"]]

    monkeypatch.setattr("cross_account_access.deployed.read", read)
    (tmp_path / "config").write_text("[profile x]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    options = ["--profile-a", "x", "--profile-access", "x", "--stack-access", "for-b", "--stack-access", "for-c"]

    assert main([*options, "--stack-a", "api", "--output", str(tmp_path / "page.html")]) == 0

    assert [(stacks["a"], stacks["access"]) for stacks in asked] == [("api", "for-b"), ("api", "for-c")]
    shown = capsys.readouterr().out
    assert "for-b, for-c" in shown
    assert len(re.findall("^The access stack's session", shown, re.MULTILINE)) == 2
    assert all(f"assumed by account {consumer}" in " ".join(shown.split()) for consumer in (ACCOUNTS["b"], C))
    assert {"Access stack 1", "Access stack 2"} <= {line[:14] for line in shown.splitlines()}
