from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest
from botocore.credentials import Credentials
from rich.console import Console

from lab import demo
from lab.access import ROUTES, Caller, Outcome

GRANTED = (Outcome(200), Outcome(201), Outcome(200), Outcome(200), Outcome(403, "AccessDeniedException"))
NO_SESSION = (Outcome(None, "AccessDenied"),) * len(ROUTES)


class Orders:
    """An API that knows some orders."""

    def __init__(self, orders: list[dict[str, Any]]) -> None:
        self.orders = orders

    def json(self) -> dict[str, Any]:
        return {"orders": self.orders}


class FakeLab:
    """A lab that deploys nothing, and whose schedule does what it is told to."""

    orders: tuple[dict[str, Any], ...] = ()
    user_key = Credentials("key", "secret")
    api_url = "https://127.0.0.1:1/_aws/execute-api/abc/v1"

    def __init__(self) -> None:
        self.outputs: dict[str, dict[str, str]] = {}
        self.parameters: dict[str, dict[str, str]] = {}

    @classmethod
    @contextmanager
    def start(cls, **_: Any) -> Iterator[Self]:
        yield cls()

    def deploy(self, account: str, **parameters: str) -> None:
        self.outputs[account] = {"ExecutorRoleArn": "arn", "CallerFunctionName": "caller"}
        self.parameters[account] = parameters

    def assume_executor(self, who: Credentials, _: str) -> Credentials:
        return who

    def request(self, *_: Any) -> Orders:
        return Orders(list(self.orders))


def caller(name: str, expected: tuple[Outcome, ...]) -> Caller:
    return Caller(name, expected, lambda *_: Outcome(None))


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False)


def run(
    console: Console, monkeypatch: pytest.MonkeyPatch, observed: demo.Observations, *orders: dict[str, Any]
) -> tuple[bool, str]:
    monkeypatch.setattr(FakeLab, "orders", orders)
    monkeypatch.setattr(demo, "Lab", FakeLab)
    monkeypatch.setattr(demo, "observe", lambda _: observed)
    monkeypatch.setattr(demo, "_SCHEDULE_SECONDS", 0.2)
    monkeypatch.setattr("time.sleep", lambda _: None)
    good = demo.run(console)
    assert isinstance(console.file, io.StringIO)
    return good, console.file.getvalue()


SCHEDULED = {
    "order_id": "1",
    "sku": "earl-grey",
    "quantity": 3,
    "status": "accepted",
    "created_at": "2030-01-01T00:00:00.1Z",
}


def test_all_as_expected(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    good, output = run(console, monkeypatch, {caller("me", GRANTED): GRANTED}, SCHEDULED)

    assert good
    assert "order 1, 3 of earl-grey, accepted at 2030-01-01T00:00:00" in output
    assert "5 of 5 as expected" in output
    assert "not as expected" not in output


def test_a_difference_is_shown_and_fails(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    observed = (Outcome(200), *NO_SESSION[1:])

    good, output = run(console, monkeypatch, {caller("stranger", NO_SESSION): observed}, SCHEDULED)

    assert not good
    assert "! 200" in output
    assert "not as expected: stranger, GET /whoami: 200 instead of no role AccessDenied" in output
    assert "4 of 5 as expected" in output


@pytest.mark.parametrize("orders", [[], [SCHEDULED | {"quantity": 1}], [SCHEDULED | {"sku": "oolong"}]])
def test_a_schedule_that_does_not_fire_fails(
    console: Console, monkeypatch: pytest.MonkeyPatch, orders: list[dict[str, Any]]
) -> None:
    good, output = run(console, monkeypatch, {caller("me", GRANTED): GRANTED}, *orders)

    assert not good
    assert "The schedule did not fire" in output


def test_every_cell_is_in_the_table(console: Console) -> None:
    console.print(demo.access_table({caller("me", GRANTED): GRANTED, caller("stranger", NO_SESSION): NO_SESSION}))

    assert isinstance(console.file, io.StringIO)
    _, header, _, me, stranger = console.file.getvalue().splitlines()
    assert header.split()[:3] == ["who", "/whoami", "/orders"]
    assert me.split() == ["me", "✓", "200", "✓", "201", "✓", "200", "✓", "200", "✗", "403", "AccessDenied"]
    assert stranger.split() == ["stranger", *["✗", "no", "role"] * 5, "AccessDenied"]
