"""`call-api`: a person's way to the API, with the credentials of an ordinary AWS profile."""

import json
import sys
from pathlib import Path
from time import monotonic
from uuid import uuid4

import click

from caller.answer import Answer
from caller.api import ApiClient, Tally, unsigned_headers
from caller.call import Call
from caller.credentials import ProfileCredentials
from caller.errors import (
    ApiError,
    AssumeRoleError,
    CallerError,
    InProgressError,
    InvalidCallError,
    ServerError,
    SettingsError,
    ThrottledError,
)
from caller.settings import find_api_region, parse_api_url
from caller.transport import new_session

_SECONDS = 90.0
"""As long as the function has."""

_EXIT_CODES: tuple[tuple[type[CallerError], int], ...] = (
    (InvalidCallError, 2),
    (SettingsError, 2),
    (AssumeRoleError, 3),
    (ThrottledError, 5),
    (InProgressError, 5),
    (ServerError, 5),
    (ApiError, 4),
    (CallerError, 6),
)

_EPILOG = """\b
Exit codes:
  0  the API answered 2xx
  2  the call, an option or the configuration is wrong; nothing was sent
  3  the profile gives no session
  4  the API refused the call (3xx, 4xx)
  5  the API could not do it now (429, 409 in progress, 5xx)
  6  no usable answer within 90 seconds
"""


@click.command(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("words", metavar="[METHOD] PATH", nargs=-1, required=True)
@click.option("--query", multiple=True, metavar="NAME=VALUE", help="Query parameter; may be repeated.")
@click.option("--header", multiple=True, metavar="NAME:VALUE", help="Header; may be repeated.")
@click.option("--json", "body", metavar="JSON", help="Body; @FILE reads a file, @- standard input.")
@click.option("--idempotency-key", metavar="KEY", help="Key of a POST or PATCH; made up and shown unless given.")
@click.option("--api-url", envvar="API_URL", show_envvar=True, default="", help="The stack output ApiUrl of account A.")
@click.option(
    "--region", envvar="API_REGION", show_envvar=True, default="", help="The API's region, if not in its URL."
)
@click.option("--profile", help="AWS profile whose role may call the API; the default chain unless given.")
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
def main(
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
    """Call the API in account A, signed with the credentials of an AWS profile.

    METHOD is GET unless given.
    """
    tally = Tally()
    start = monotonic()
    try:
        call = _call(words, query, header, body, idempotency_key)
        api_url = parse_api_url(api_url)
        correlation_id = str(uuid4())
        if dry_run:
            _show_request(call, api_url, correlation_id)
            return
        credentials = ProfileCredentials(profile)
        region = find_api_region(api_url, region, credentials.region)
        if verbose:
            click.echo(f"{call.method} {api_url}{call.target}, signed for {region}", err=True)
        client = ApiClient(api_url, region, credentials, new_session(api_url, 1, credentials.ca_bundle))
        answer = client.send(call, start + _SECONDS, correlation_id=correlation_id, tally=tally)
    except CallerError as error:
        click.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))
    finally:
        if verbose and tally.attempts:
            click.echo(f"{tally.attempts} attempt(s), {monotonic() - start:.2f} s, {correlation_id=!s}", err=True)
    _show_answer(answer, output, include)


def _call(
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
