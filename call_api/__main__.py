"""`call-api`: a person's way to the API, with the credentials of an ordinary AWS profile."""

import json
import os
import sys
from pathlib import Path
from time import monotonic
from uuid import uuid4

import click
from click.shell_completion import CompletionItem

from call_api.configure import configure
from call_api.doctor import doctor
from call_api.profile import complete_profile, read_profile
from call_api.verbose import Narrator
from caller.settings import find_api_region, parse_api_url
from cross_account_api.call import METHODS, Call
from cross_account_api.client import Client, Tally, unsigned_headers
from cross_account_api.credentials import ProfileCredentials
from cross_account_api.errors import (
    ApiError,
    AssumeRoleError,
    CallError,
    ForbiddenError,
    InProgressError,
    InvalidCallError,
    NotFoundError,
    ServerError,
    SettingsError,
    ThrottledError,
)
from cross_account_api.response import Answer
from cross_account_api.transport import Connections, Transport

_SECONDS = 90.0
"""As long as the function has."""

_EXIT_CODES: tuple[tuple[type[CallError], int], ...] = (
    (InvalidCallError, 2),
    (SettingsError, 2),
    (AssumeRoleError, 3),
    (ForbiddenError, 4),
    (NotFoundError, 5),
    (ThrottledError, 7),
    (InProgressError, 7),
    (ServerError, 7),
    (ApiError, 6),
    (CallError, 8),
)

_EPILOG = """\b
The API's address and region come from an option, else from the environment, else from api_url and api_region in the
AWS profile. Shell completion: eval "$(_CALL_API_COMPLETE=bash_source call-api)", or zsh_source, or fish_source.

\b
Exit codes:
  0  the API answered 2xx
  2  the call, an option or the configuration is wrong; nothing was sent
  3  the profile gives no session
  4  the API refused the caller (403)
  5  the API knows no such thing (404)
  6  the API did not accept the call (other 3xx and 4xx)
  7  the API could not do it now (429, 409 in progress, 5xx)
  8  no usable answer within 90 seconds
"""


class _CallOrCommand(click.Group):
    """A group whose first word need not be a command: then it is a call."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # While a shell completes the first word, there is none yet.
        first = args[0] if args else ""
        if first not in {*self.commands, *ctx.help_option_names} and (args or not ctx.resilient_parsing):
            args = ["call", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] [METHOD] PATH")
        formatter.write_usage(ctx.command_path, f"{'|'.join(self.list_commands(ctx))} [OPTIONS]", prefix="       ")

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in super().list_commands(ctx) if not self.commands[name].hidden]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        call.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        options = call.shell_complete(ctx, incomplete)
        return [*super().shell_complete(ctx, incomplete), *_complete_method(incomplete), *options]


_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(
    cls=_CallOrCommand,
    epilog=_EPILOG,
    # https://no-color.org; what is not a terminal gets no colours anyway.
    context_settings={**_HELP, "color": False if os.environ.get("NO_COLOR") else None},
)
def main() -> None:
    """Call the API in account A, signed with the credentials of an AWS profile.

    METHOD is GET unless given.
    """


main.add_command(configure)
main.add_command(doctor)


def _complete_words(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del parameter
    return [] if context.params.get("words") else _complete_method(incomplete)


def _complete_method(incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(method) for method in METHODS if method.startswith(incomplete.upper())]


@main.command(hidden=True, context_settings=_HELP)
@click.argument("words", metavar="[METHOD] PATH", nargs=-1, required=True, shell_complete=_complete_words)
@click.option("--query", multiple=True, metavar="NAME=VALUE", help="Query parameter; may be repeated.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="Header; may be repeated.")
@click.option("--json", "body", metavar="JSON", help="Body; @FILE reads a file, @- standard input.")
@click.option("--idempotency-key", metavar="KEY", help="Key of a POST or PATCH; made up and shown unless given.")
@click.option("--api-url", envvar="API_URL", show_envvar=True, default="", help="The stack output ApiUrl of account A.")
@click.option(
    "--region", envvar="API_REGION", show_envvar=True, default="", help="The API's region, if not in its URL."
)
@click.option(
    "--profile",
    shell_complete=complete_profile,
    help="AWS profile whose role may call the API; the default chain unless given.",
)
@click.option(
    "--output",
    type=click.Choice(["pretty", "raw", "json"]),
    default="pretty",
    show_default=True,
    help="The body indented, the body as received, or the whole answer as JSON.",
)
@click.option("--include", is_flag=True, help="Show status and headers before the body.")
@click.option("--verbose", is_flag=True, help="Say on standard error what is done.")
@click.option("--dry-run", is_flag=True, help="Show the request and send nothing.")
def call(
    *,
    words: tuple[str, ...],
    query: tuple[str, ...],
    header: tuple[str, ...],
    body: str | None,
    idempotency_key: str | None,
    api_url: str,
    region: str,
    profile: str | None,
    output: str,
    include: bool,
    verbose: bool,
    dry_run: bool,
) -> None:
    """Make one call."""
    tally = Tally()
    start = monotonic()
    try:
        request = _parse_call(words, query, header, body, idempotency_key)
        settings = read_profile(profile)
        api_url = parse_api_url(api_url or settings.get("api_url", ""))
        correlation_id = str(uuid4())
        if dry_run:
            _show_request(request, api_url, correlation_id)
            return
        credentials = ProfileCredentials(profile)
        region = find_api_region(api_url, region or settings.get("api_region", ""), credentials.region)
        transport: Transport = Connections(api_url, 1, credentials.ca_bundle)
        if verbose:
            click.echo(f"{request.method} {api_url}{request.target}, signed for {region}", err=True)
            transport = Narrator(transport)
        client = Client(api_url, region, credentials, transport)
        answer = client.send(request, start + _SECONDS, correlation_id=correlation_id, tally=tally)
    except CallError as error:
        click.echo(f"{click.style(type(error).__name__, fg='red')}: {error}", err=True)
        sys.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))
    finally:
        if verbose and tally.attempts:
            click.echo(
                f"{tally.attempts} attempt(s) in {monotonic() - start:.2f} s, correlation id {correlation_id}", err=True
            )
    _show_answer(answer, output, include)


def _parse_call(
    words: tuple[str, ...], query: tuple[str, ...], header: tuple[str, ...], body: str | None, key: str | None
) -> Call:
    if len(words) > 2:
        raise click.UsageError(f"Expected [METHOD] PATH, got {len(words)} words.")
    method, path = ("GET", *words)[-2:]
    method = method.upper()
    if method in ("POST", "PATCH") and key is None:
        key = str(uuid4())
        click.echo(f"Idempotency key: {key}", err=True)
    names: dict[str, list[str]] = {}
    for parameter in query:
        name, equals, value = parameter.partition("=")
        if not equals:
            raise click.BadParameter(f"{parameter!r} is not NAME=VALUE.", param_hint="--query")
        names.setdefault(name, []).append(value)
    headers: dict[str, str] = {}
    for line in header:
        name, colon, value = line.partition(":")
        if not colon:
            raise click.BadParameter(f"{name!r} is not NAME:VALUE.", param_hint="--header")
        headers[name] = value.strip()
    return Call.parse(
        {
            "method": method,
            "path": path,
            "query": names,
            "headers": headers,
            "body": None if body is None else _json(body),
            "idempotency_key": key,
        }
    )


def _json(text: str) -> object:
    try:
        if text.startswith("@"):
            source = text[1:]
            text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise click.BadParameter(f"Cannot read {error.filename}: {error.strerror}.", param_hint="--json") from error
    except (ValueError, RecursionError) as error:
        raise click.BadParameter("This is not JSON.", param_hint="--json") from error


def _show_request(call: Call, api_url: str, correlation_id: str) -> None:
    click.echo(f"{call.method} {api_url}{call.target}")
    for name, value in unsigned_headers(call, correlation_id).items():
        click.echo(f"{name}: {value}")
    if call.body is not None:
        click.echo(f"\n{call.body.decode()}")


def _show_answer(answer: Answer, output: str, include: bool) -> None:
    if output == "json":
        click.echo(json.dumps(answer.as_json()))
        return
    if include:
        click.echo(f"HTTP {answer.status}")
        for name, value in answer.headers.items():
            click.echo(f"{name}: {value}")
        click.echo()
    if output == "raw":
        click.get_binary_stream("stdout").write(answer.content)
    elif isinstance(answer.body, str):
        click.echo(answer.body)
    elif answer.content:
        click.echo(json.dumps(answer.body, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main(prog_name="call-api")
