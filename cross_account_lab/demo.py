"""The guided tour: deploy both accounts, watch the schedule fire, and see who may do what."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cross_account_access.model import Route
from cross_account_lab.access import Observations, Outcome, admit_fewer, as_expected, call_of, observe, routes
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_C, ACCOUNT_IDS
from cross_account_lab.console import progress
from cross_account_lab.lab import STACK_NAMES, Lab

_SCHEDULE_SECONDS = 300.0


def run(console: Console) -> bool:
    """Show everything once, and return whether it was as expected."""
    started = time.monotonic()
    step = partial(progress, console)
    a, b, c = (ACCOUNT_IDS[account] for account in (ACCOUNT_A, ACCOUNT_B, ACCOUNT_C))
    console.print(f"\nAccount B ({b}) calls an API of account A ({a}), account C ({c}) one route of it.\n")
    scheduled = scheduled_route(routes())
    with Lab.start(deployed=False, step=step) as lab:
        lab.deploy(ACCOUNT_A)
        admit_fewer(lab)
        parameters = {
            # Far enough ahead for account B's deployment to be complete by then.
            "ScheduleExpression": f"at({datetime.now(UTC) + timedelta(seconds=6):%Y-%m-%dT%H:%M:%S})",
            "CallMethod": scheduled.method,
            "CallPath": scheduled.example.path,
            "CallBody": json.dumps(scheduled.example.body),
        }
        lab.deploy(ACCOUNT_B, **parameters)
        with step("every caller tries every route, until the schedule fires"), ThreadPoolExecutor() as pool:
            observing = pool.submit(observe, lab)
            line = _wait_for_scheduled_call(lab)
            observations = observing.result()
            error = _backend_error(lab, observations)
        console.print()
        console.print(_deployed(lab, parameters))
    made = line.get("message") == "call succeeded"
    if made:
        console.print(
            f"[green]✓[/] The schedule fired, the caller assumed the role, and its {scheduled} succeeded:\n"
            f"  it logged {line['status']} after {line['duration_ms']:.0f} ms\n"
        )
    elif line:
        console.print(f"[red]The scheduled call failed[/]: {line.get('reason')}\n")
    else:
        console.print(f"[red]The schedule did not fire within {_SCHEDULE_SECONDS:.0f} s.[/]\n")
    console.print(access_table(observations))
    console.print()
    deviations = differences(observations)
    for deviation in deviations:
        console.print(f"[red]not as expected[/]: {deviation}")
    if error:
        console.print("[red]the backend's last error[/]: ", end="")
        console.print(error, markup=False)
    cells = sum(map(len, observations.values()))
    seconds = time.monotonic() - started
    console.print(
        f"{cells - len(deviations)} of {cells} as expected, each observed with a real request, in {seconds:.0f} s\n\n"
        "Next: [bold]make lab[/] to try it yourself · [bold]make test[/] to prove it · README.md to deploy it on AWS"
    )
    return made and not deviations


def scheduled_route(candidates: Sequence[Route]) -> Route:
    """Choose the scheduled call: a POST, or else a GET, that the contract grants and that needs no header or query."""
    simple = [
        route
        for route in candidates
        if route.promised and route.method in {"POST", "GET"}
        if not call_of(route)["query"] and not call_of(route)["headers"]
    ]
    return min(simple, key=lambda route: route.method != "POST")


def access_table(observations: Observations) -> Table:
    """Draw the outcomes; an unexpected one is marked with `!`."""
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("who")
    for route in next(iter(observations.values())):
        short = re.sub(r"\{\w+_id\}", "{id}", route.path)
        table.add_column(f"{route.method}\n{short}", overflow="fold")
    table.add_column("refused with", overflow="fold")
    for caller, outcomes in observations.items():
        cells = [_cell(outcome, good=as_expected(caller, route, outcome)) for route, outcome in outcomes.items()]
        errors = sorted({outcome.error.removesuffix("Exception") for outcome in outcomes.values() if outcome.error})
        table.add_row(caller.name, *cells, ", ".join(errors))
    return table


def differences(observations: Observations) -> list[str]:
    """Return a line for each outcome that is not as expected."""
    return [
        f"{caller.name}, {route}: {outcome} instead of {caller.expected(route)}"
        for caller, outcomes in observations.items()
        for route, outcome in outcomes.items()
        if not as_expected(caller, route, outcome)
    ]


def _backend_error(lab: Lab, observations: Observations) -> str:
    """Return the last error that account A's functions logged, or else what the API said; empty without a 5xx."""
    faults = [
        outcome
        for caller, outcomes in observations.items()
        for route, outcome in outcomes.items()
        if outcome.is_fault and not caller.expected(route).error
    ]
    if not faults:
        return ""
    session = lab.session(ACCOUNT_A)
    functions, logs = session.client("lambda").list_functions()["Functions"], session.client("logs")
    events = [
        (event["timestamp"], event["message"].strip())
        for function in functions
        for event in logs.filter_log_events(logGroupName=function["LoggingConfig"]["LogGroup"])["events"]
        if re.search(r"(Error|Exception)\b|\"level\": ?\"(ERROR|CRITICAL)", event["message"])
    ]
    # A traceback is several events of the same time. A function that did not start has logged nothing.
    return sorted(events, key=lambda event: event[0])[-1][1] if events else faults[-1].detail


def _cell(outcome: Outcome, *, good: bool) -> str:
    if not good:
        return f"[bold red]! {outcome.status}[/]"
    return f"✗ {outcome.status}" if outcome.error else f"[green]✓ {outcome.status}[/]"


def _deployed(lab: Lab, parameters: Mapping[str, str]) -> Table:
    call = "{CallMethod} {CallPath} {CallBody}".format_map(parameters).removesuffix(" null")
    table = Table.grid(padding=(0, 2))
    for account, what, value in (
        (ACCOUNT_A, "API", lab.api_url),
        ("", "executor role", lab.outputs[ACCOUNT_A]["ExecutorRoleArn"]),
        (ACCOUNT_B, "caller", lab.outputs[ACCOUNT_B]["CallerFunctionName"]),
        ("", "schedule", f"{parameters['ScheduleExpression']} → {call}"),
        ("", "queues", "CallQueue → caller, FailedCallQueue for calls that failed"),
    ):
        table.add_row(f"[bold]{account}[/]", what, value)
    table.add_row()
    return table


def _wait_for_scheduled_call(lab: Lab) -> dict[str, Any]:
    """Return the line that the caller logs about the scheduled call; empty if it does not come in time."""
    session = lab.session(ACCOUNT_B)
    name = lab.outputs[ACCOUNT_B]["CallerFunctionName"]
    group = session.client("lambda").get_function_configuration(FunctionName=name)["LoggingConfig"]["LogGroup"]
    logs = session.client("logs")
    deadline = time.monotonic() + _SCHEDULE_SECONDS
    while time.monotonic() < deadline:
        for event in logs.filter_log_events(logGroupName=group)["events"]:
            line: dict[str, Any] = json.loads(event["message"]) if event["message"].startswith("{") else {}
            # The schedule's key is made of the stack's name and the time.
            if f"{STACK_NAMES[ACCOUNT_B]}/" in str(line.get("idempotency_key")):
                return line
        time.sleep(0.5)
    return {}
