"""The guided tour: deploy both accounts, watch the schedule fire, and see who may do what."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lab.access import ROUTES, Caller, Outcome, observe
from lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_IDS
from lab.console import progress
from lab.lab import USER, Lab

type Observations = dict[Caller, tuple[Outcome, ...]]

_SCHEDULED_ORDER = {"sku": "earl-grey", "quantity": 3}
# Far enough ahead for account B's deployment to be over before.
_AHEAD = timedelta(seconds=6)
_SCHEDULE_SECONDS = 60.0


def run(console: Console) -> bool:
    """Show everything once.

    Args:
        console: Where to show it.

    Returns:
        Whether all that was observed is as expected.

    Raises:
        EmulatorError: The emulator did not start.
        SamError: A stack could not be built or deployed.
    """
    started = time.monotonic()
    step = partial(progress, console)
    consumer, provider = ACCOUNT_IDS[ACCOUNT_B], ACCOUNT_IDS[ACCOUNT_A]
    console.print(f"\nAccount B ({consumer}) calls an API of account A ({provider}), and nobody else may.\n")
    with Lab.start(deployed=False, step=step) as lab:
        with step("sam deploy --config-env account-a"):
            lab.deploy(ACCOUNT_A)
        schedule = f"at({datetime.now(UTC) + _AHEAD:%Y-%m-%dT%H:%M:%S})"
        with step("sam deploy --config-env account-b"):
            lab.deploy(
                ACCOUNT_B,
                ScheduleExpression=schedule,
                CallMethod="POST",
                CallPath="/orders",
                CallBody=json.dumps(_SCHEDULED_ORDER),
            )
        with step("every caller tries every route, until the schedule fires"), ThreadPoolExecutor() as pool:
            observing = pool.submit(observe, lab)
            order = _wait_for_scheduled_order(lab)
            observations = observing.result()
        console.print()
        console.print(_deployed(lab, schedule))
        if order:
            console.print(
                f"[green]✓[/] The schedule fired, the caller assumed the role, and its POST /orders was answered: "
                f"{USER} finds\n  order {order['order_id']}, {order['quantity']} of {order['sku']}, "
                f"{order['status']} at {order['created_at']:.19}\n"
            )
        else:
            console.print(f"[red]The schedule did not fire within {_SCHEDULE_SECONDS:.0f} s.[/]\n")
    console.print(access_table(observations))
    console.print()
    deviations = differences(observations)
    for line in deviations:
        console.print(f"[red]not as expected[/]: {line}")
    cells = len(observations) * len(ROUTES)
    seconds = time.monotonic() - started
    console.print(
        f"{cells - len(deviations)} of {cells} as expected, each observed with a real request, in {seconds:.0f} s\n\n"
        "Next: [bold]make lab[/] to try it yourself · [bold]make test[/] to prove it · README.md to deploy it on AWS"
    )
    return order is not None and not deviations


def access_table(observations: Observations) -> Table:
    """Draw what each caller met.

    Args:
        observations: What was observed.

    Returns:
        The table; a cell that is not as expected shows both.
    """
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("who")
    for route in ROUTES:
        table.add_column(route.replace("order_id", "id").replace(" ", "\n"))
    table.add_column("refused with")
    for caller, outcomes in observations.items():
        cells = [_cell(*pair) for pair in zip(outcomes, caller.expected, strict=True)]
        errors = sorted({outcome.error.removesuffix("Exception") for outcome in outcomes if outcome.error})
        table.add_row(caller.name, *cells, ", ".join(errors))
    return table


def differences(observations: Observations) -> list[str]:
    """Tell where what was observed is not as expected.

    Args:
        observations: What was observed.

    Returns:
        A line for each such caller and route.
    """
    return [
        f"{caller.name}, {route}: {_words(outcome)} instead of {_words(expected)}"
        for caller, outcomes in observations.items()
        for route, outcome, expected in zip(ROUTES, outcomes, caller.expected, strict=True)
        if outcome != expected
    ]


def _cell(outcome: Outcome, expected: Outcome) -> str:
    shown = "no role" if outcome.status is None else str(outcome.status)
    if outcome != expected:
        return f"[bold red]! {shown}[/]"
    return f"✗ {shown}" if outcome.error else f"[green]✓ {shown}[/]"


def _words(outcome: Outcome) -> str:
    return f"{outcome.status or 'no role'} {outcome.error}".strip()


def _deployed(lab: Lab, schedule: str) -> Table:
    provider, consumer = lab.outputs[ACCOUNT_A], lab.outputs[ACCOUNT_B]
    table = Table.grid(padding=(0, 2))
    for account, what, value in (
        (ACCOUNT_A, "API", lab.api_url),
        ("", "executor role", provider["ExecutorRoleArn"]),
        (ACCOUNT_B, "caller", consumer["CallerFunctionName"]),
        ("", "schedule", f"{schedule} → POST /orders {json.dumps(_SCHEDULED_ORDER)}"),
        ("", "queues", "CallQueue → caller, FailedCallQueue for whatever could not be done"),
    ):
        table.add_row(f"[bold]{account}[/]", what, value)
    table.add_row()
    return table


def _wait_for_scheduled_order(lab: Lab) -> dict[str, Any] | None:
    who = lab.assume_executor(lab.user_key, f"{ACCOUNT_IDS[ACCOUNT_B]}-{USER}")
    deadline = time.monotonic() + _SCHEDULE_SECONDS
    while time.monotonic() < deadline:
        for order in lab.request("GET", "/orders", who).json()["orders"]:
            if order.items() >= _SCHEDULED_ORDER.items():
                found: dict[str, Any] = order
                return found
        time.sleep(0.5)
    return None
