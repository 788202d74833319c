"""`call-api doctor`: what is wrong when a call fails, and which account mends it."""

import dataclasses
import json
import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from call_api.diagnosis import Diagnosis, Finding, Verdict
from call_api.profile import complete_profile
from cross_account_api.errors import InvalidCallError

_TICKS = {Verdict.OK: ("✓", "green"), Verdict.FAILED: ("✗", "red"), Verdict.NOT_TRIED: ("·", "dim")}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", default="/whoami")
@click.option("--api-url", envvar="API_URL", show_envvar=True, default="", help="The stack output ApiUrl of account A.")
@click.option(
    "--region", envvar="API_REGION", show_envvar=True, default="", help="The API's region, if not in its URL."
)
@click.option("--profile", shell_complete=complete_profile, help="AWS profile; the default chain unless given.")
@click.option("--json", "as_json", is_flag=True, help="Show the findings as JSON.")
def doctor(*, path: str, api_url: str, region: str, profile: str | None, as_json: bool) -> None:
    """Find out why GET PATH fails (default: /whoami), and who mends it.

    Goes the whole way, from the profile to the backend, and changes nothing. Exit code 0 if all is well, 1 if not.
    """
    try:
        diagnosis = Diagnosis(profile, api_url, region, path)
    except InvalidCallError as error:
        raise click.BadArgumentUsage(str(error)) from error
    findings = list(diagnosis.walk())
    failed = next((finding for finding in findings if finding.verdict is Verdict.FAILED), None)
    next_step = failed.mend if failed else ""
    if as_json:
        steps = [dataclasses.asdict(finding) for finding in findings]
        click.echo(json.dumps({"healthy": not failed, "next": next_step, "steps": steps}, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        console.print(_table(findings))
        console.print(Text.assemble(("Next: ", "bold"), next_step) if failed else "All is well.")
    sys.exit(1 if failed else 0)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        tick, colour = _TICKS[finding.verdict]
        table.add_row(Text(tick, colour), Text(finding.step), Text(finding.saw, "dim" if tick == "·" else ""))
        if finding.expected:
            table.add_row("", Text("  expected", "dim"), Text(finding.expected))
        for cause in finding.causes:
            judged = f"{cause.judgement}: {cause.saw}. {cause.mend}".rstrip()
            table.add_row("", Text(f"  {cause.name}", "dim"), Text(judged))
        if finding.mend:
            table.add_row("", Text("  mend", "bold"), Text(finding.mend))
    return table
