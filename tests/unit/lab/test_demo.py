import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Self

import pytest
from rich.console import Console

from cross_account_access.contract import Example
from cross_account_access.model import Route
from cross_account_lab import demo
from cross_account_lab.access import (
    FAILED,
    NO_ROLE,
    Caller,
    Observations,
    Outcome,
    admit_fewer,
    least_route,
    outcome_of,
)
from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES
from tests.support.fakes import FakeTime


def route(method: str, path: str, example: Example | None = None, *, promised: bool | None = True) -> Route:
    return Route(
        method=method,
        path=path,
        authorizer="AWS_IAM",
        function="Function",
        granted=bool(promised),
        promised=promised,
        example=example or Example(path),
        status=201 if method == "POST" else 200,
        statuses=frozenset({200, 201, 403, 404, 500}),
    )


TEAS = route("GET", "/teas")
BREW = route("POST", "/teas", Example("/teas", headers={"Idempotency-Key": "key"}, body={"leaf": "green"}))
POUR = route("DELETE", "/teas/{tea_id}", Example("/teas/7"), promised=False)
ROUTES = (TEAS, BREW, POUR)
REFUSED = Outcome(403, "AccessDeniedException")
GRANTED = {TEAS: Outcome(200), BREW: Outcome(201), POUR: REFUSED}
NO_SESSION = dict.fromkeys(ROUTES, Outcome(NO_ROLE, "AccessDenied"))


class FakeLab:
    """A lab that deploys nothing, whose functions have logged the given lines; it is its own session and client."""

    lines: tuple[str, ...] = ()
    backend_lines: tuple[str, ...] = ()
    deployed: dict[str, dict[str, str]]
    api_url = "https://127.0.0.1:1/_aws/execute-api/abc/v1"

    def __init__(self) -> None:
        self.outputs: dict[str, dict[str, str]] = {}

    @classmethod
    @contextmanager
    def start(cls, **_: Any) -> Iterator[Self]:
        yield cls()

    def deploy(self, account: str, **parameters: str) -> None:
        self.outputs[account] = {"ExecutorRoleArn": "arn", "CallerFunctionName": "caller"}
        FakeLab.deployed[account] = parameters

    def grant(self, account: str, *methods: str) -> None:
        FakeLab.deployed["access"] = {account: ", ".join(methods)}

    def session(self, account: str) -> SimpleNamespace:
        function = {"LoggingConfig": {"LogGroup": "group"}}
        lines = self.lines if account == ACCOUNT_B else self.backend_lines
        client = SimpleNamespace(
            get_function_configuration=lambda **_: function,
            list_functions=lambda: {"Functions": [function]},
            filter_log_events=lambda **_: {"events": [{"message": line, "timestamp": 1} for line in lines]},
        )
        return SimpleNamespace(client=lambda _: client)


def caller(name: str, refusal: Outcome | None = None) -> Caller:
    return Caller(name, refusal, lambda _: Outcome(FAILED))


def line(message: str = "call succeeded", **fields: Any) -> str:
    key = f"eu-west-1/{STACK_NAMES[ACCOUNT_B]}/2030-01-01"
    return json.dumps(
        {"message": message, "idempotency_key": key, "status": 201, "duration_ms": 12.3, "reason": "cold"} | fields
    )


def run(monkeypatch: pytest.MonkeyPatch, observed: Observations, *lines: str) -> tuple[bool, str]:
    """Run the demo in a lab whose caller logs these lines; return its verdict and what it showed."""
    monkeypatch.setattr(FakeLab, "lines", lines)
    monkeypatch.setattr(FakeLab, "deployed", {}, raising=False)
    monkeypatch.setattr(demo, "Lab", FakeLab)
    monkeypatch.setattr(demo, "routes", lambda: ROUTES)
    monkeypatch.setattr("cross_account_lab.access.routes", lambda: ROUTES)
    monkeypatch.setattr(demo, "observe", lambda _: observed)
    clock = FakeTime()
    monkeypatch.setattr("time.monotonic", clock.monotonic)
    monkeypatch.setattr("time.sleep", clock.sleep)
    shown = io.StringIO()
    return demo.run(Console(file=shown, width=100, highlight=False)), shown.getvalue()


def test_a_difference_is_shown_among_what_is_as_expected_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = caller("stranger", Outcome(NO_ROLE, "AccessDenied"))

    good, output = run(
        monkeypatch, {caller("me"): GRANTED, stranger: NO_SESSION | {TEAS: Outcome(200)}}, line(), line("later")
    )

    assert not good
    assert "its POST /teas succeeded:\n  it logged 201 after 12 ms" in output
    assert "not as expected: stranger, GET /teas: 200 instead of no role AccessDenied" in output
    assert "5 of 6 as expected" in output
    _, *rows = [text.split() for text in output.splitlines() if text.startswith(("who", "me", "stranger"))]
    assert rows == [
        ["me", "✓", "200", "✓", "201", "✗", "403", "AccessDenied"],
        ["stranger", "!", "200", *["✗", "no", "role"] * 2, "AccessDenied"],
    ]
    assert FakeLab.deployed["account-b"] | {"ScheduleExpression": ""} == {
        "ScheduleExpression": "",
        "CallMethod": "POST",
        "CallPath": "/teas",
        "CallBody": '{"leaf": "green"}',
    }
    assert FakeLab.deployed["access"] == {"account-c": "GET/teas"}


@pytest.mark.parametrize(
    ("which", "outcome"),
    [
        (TEAS, Outcome(500)),
        (TEAS, Outcome(403)),
        (TEAS, Outcome(NO_ROLE, "AccessDenied")),
        (POUR, Outcome(200)),
        (POUR, Outcome(404)),
    ],
)
def test_what_the_contract_does_not_promise_is_a_difference(which: Route, outcome: Outcome) -> None:
    (difference,) = demo.differences({caller("me"): GRANTED | {which: outcome}})

    assert difference.startswith(f"me, {which}: ")
    # A documented response shows that a call is granted.
    assert demo.differences({caller("me"): GRANTED | {TEAS: Outcome(404)}}) == []
    fewer = Caller("C", None, lambda _: Outcome(FAILED), only=TEAS)
    assert demo.differences({fewer: GRANTED}) == ["C, POST /teas: 201 instead of 403 AccessDeniedException"]


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("The API answered 403 AccessDeniedException: no (request id r).", REFUSED),
        (
            "No time for attempt 4: … Last failure: ServerError: The API answered 502 InternalError (…)",
            Outcome(502, "InternalError"),
        ),
        ("Could not assume arn:aws:iam::1:role/x: AccessDenied: no.", Outcome(NO_ROLE, "AccessDenied")),
        ("No complete response from the API: reset.", Outcome(FAILED, "No complete response from the API")),
        ("path is x. Allowed: y.", Outcome(FAILED, "path is x")),
    ],
)
def test_a_failed_call_is_shown_as_what_happened(message: str, outcome: Outcome) -> None:
    # In the lab, the type of every error is this one.
    assert outcome_of({"errorType": "Runtime.HandlerError", "errorMessage": message}) == outcome
    assert outcome_of({"status": 201}) == Outcome(201)


ERROR = "[ERROR] ImportModuleError: no module [orders]"
FAULT = Outcome(502, detail="Worker init failed: [orders] has no handler")


@pytest.mark.parametrize(
    ("logged", "outcome", "shown"),
    [
        (('{"level": "ERROR"}', ERROR, '{"level": "INFO", "errors": 0}'), FAULT, ERROR),
        ((), FAULT, FAULT.detail),
        ((ERROR,), Outcome(404), None),
        ((ERROR,), Outcome(FAILED, "No complete response from the API"), None),
    ],
)
def test_a_fault_is_shown_with_the_backends_last_error_or_else_what_the_api_said(
    monkeypatch: pytest.MonkeyPatch, logged: tuple[str, ...], outcome: Outcome, shown: str | None
) -> None:
    monkeypatch.setattr(FakeLab, "backend_lines", logged)

    good, output = run(monkeypatch, {caller("me"): GRANTED | {TEAS: outcome}}, line())

    assert good is (outcome == Outcome(404))
    assert (f"the backend's last error: {shown}\n" in output) is bool(shown)
    assert ("last error" in output) is bool(shown)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["START", line(idempotency_key="by hand"), line(idempotency_key=None)], "The schedule did not fire"),
        ([line("call failed")], "The scheduled call failed: cold"),
    ],
)
def test_a_schedule_that_does_not_fire_or_fails_is_reported(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], said: str
) -> None:
    good, output = run(monkeypatch, {caller("me"): GRANTED}, *lines)

    assert not good
    assert said in output


def test_the_scheduled_call_is_a_simple_post_or_else_a_get() -> None:
    steeped = route("POST", "/steeped", Example("/steeped", headers={"X-Degrees": "80"}))
    limited = route("GET", "/limited", Example("/limited", query={"limit": "1"}))
    hidden = route("POST", "/hidden", promised=False)

    assert demo.scheduled_route([limited, TEAS, steeped, hidden, BREW]) is BREW
    assert demo.scheduled_route([limited, steeped, hidden, TEAS]) is TEAS


def test_the_route_of_fewer_rights_is_a_get_without_parameters_or_else_any(monkeypatch: pytest.MonkeyPatch) -> None:
    one = route("GET", "/teas/{tea_id}")
    hidden = route("GET", "/hidden", promised=False)

    for candidates, least in (([BREW, one, hidden, TEAS], TEAS), ([BREW, hidden, one], one), ([hidden, BREW], BREW)):
        monkeypatch.setattr("cross_account_lab.access.routes", lambda candidates=candidates: candidates)
        assert least_route() is least

    monkeypatch.setattr("cross_account_lab.access.routes", lambda: [one])
    monkeypatch.setattr(FakeLab, "deployed", {}, raising=False)
    admit_fewer(FakeLab())  # type: ignore[arg-type]
    assert FakeLab.deployed["access"] == {"account-c": "GET/teas/*"}
