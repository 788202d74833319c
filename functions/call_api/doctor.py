"""`call-api doctor`: why a call fails, and which account can fix it."""

import dataclasses
import json
import platform
import sys
from collections.abc import Mapping

import botocore
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from call_api.facts import collect
from call_api.settings import ApiSettings, api_options, check_path
from call_api.steps import CheckResult, Status, judge
from cross_account_api.call import Call
from cross_account_api.errors import AssumeRoleError, CallError, InvalidCallError, SettingsError
from cross_account_api.version import __version__

_SIGNS = {
    Status.OK: ("✓", "ok", "green"),
    Status.WARNING: ("!", "!", "yellow"),
    Status.FAILED: ("✗", "X", "red"),
    Status.NOT_TRIED: ("·", "-", "dim"),
}
"""A sign, the same in ASCII, and its colour."""


@click.command
@click.argument("path", default="")
@api_options
@click.option("--json", "as_json", is_flag=True, help="Show the results as JSON, for an issue report.")
def doctor(*, path: str, profile: str | None, as_json: bool, **options: str) -> None:
    """Find out why GET PATH fails, and who can fix it.

    Checks every step from the profile to the backend, and changes nothing. PATH is api_path in the profile unless
    given; without both, GET / is sent and any response of the backend is fine. Exit code 0 if nothing failed, else 1.
    """
    settings: ApiSettings | CallError
    try:
        settings = ApiSettings.resolve(profile, **options)
        path = path or settings.in_profile.get("api_path", "")
    except (AssumeRoleError, SettingsError) as error:
        settings = error
    try:
        check_path(path)
        call = Call.parse({"path": path or "/"})
    except InvalidCallError as error:
        raise click.BadArgumentUsage(str(error)) from error
    results = judge(settings if isinstance(settings, CallError) else collect(settings, call, is_chosen=bool(path)))
    failures = [result for result in results.values() if result.status is Status.FAILED]
    warnings = [result for result in results.values() if result.status is Status.WARNING]
    next_step = (failures or warnings)[0].remedy if failures or warnings else ""
    if as_json:
        report = {
            "version": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "botocore": botocore.__version__,
            "healthy": not failures,
            "next": next_step,
            "steps": [{"step": step, **dataclasses.asdict(result)} for step, result in results.items()],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        console = Console(highlight=False)
        console.print(_table(results, ascii_only=console.options.ascii_only))
        verdict = Text.assemble(("Next: ", "bold"), next_step) if next_step else Text("All is well.")
        verdict = verdict if failures or not warnings else Text.assemble("Nothing failed. ", verdict)
        console.print(verdict, soft_wrap=True)
    sys.exit(1 if failures else 0)


def _table(results: Mapping[str, CheckResult], *, ascii_only: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for step, result in results.items():
        sign, ascii_sign, colour = _SIGNS[result.status]
        style = "dim" if result.status is Status.NOT_TRIED else ""
        table.add_row(Text(ascii_sign if ascii_only else sign, colour), Text(step), Text(result.observed, style))
        if result.expected:
            table.add_row("", Text("  expected", "dim"), Text(result.expected))
        for cause in result.causes:
            judged = f"{cause.likelihood}: {cause.observed}. {cause.remedy}".rstrip()
            table.add_row("", Text(f"  {cause.name}", "dim"), Text(judged))
        if result.remedy:
            table.add_row("", Text("  fix", "bold"), Text(result.remedy))
    return table
