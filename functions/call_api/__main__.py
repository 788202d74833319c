"""`call-api`: calls the API with the credentials of an ordinary AWS profile."""

import dataclasses
import errno
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from getpass import GetPassWarning
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import click
from click.shell_completion import CompletionItem

from call_api.configure import configure
from call_api.doctor import doctor
from call_api.settings import ApiSettings, api_options, check_path, find_remedy
from call_api.verbose import VerboseTransport
from cross_account_api import errors, media_type
from cross_account_api.call import METHODS, Call, read_json
from cross_account_api.client import Client, request_headers
from cross_account_api.credentials import ProfileCredentials, describe_profile
from cross_account_api.response import Response, StreamedResponse
from cross_account_api.timing import Timing
from cross_account_api.transport import Connections, StreamingTransport
from cross_account_api.version import __version__

_EXIT_CODES: tuple[tuple[int, type[errors.CallError] | tuple[type[errors.CallError], ...]], ...] = (
    (2, (errors.InvalidCallError, errors.SettingsError)),
    (3, errors.AssumeRoleError),
    (4, errors.ForbiddenError),
    (5, errors.NotFoundError),
    (7, (errors.ThrottledError, errors.InProgressError, errors.ServerError)),
    (6, errors.ApiError),
    (8, errors.CallError),
)
"""The first that fits counts."""

_CURL_OPTIONS = {
    "-o": "--output raw > FILE writes the body to a file.",
    "-k": "Certificates are always checked; AWS_CA_BUNDLE names the CA of your own network.",
    "-s": "There is no progress to silence: leave it out.",
    "-L": "Redirects are never followed.",
    "-u": "The AWS profile signs: --profile.",
    "-I": "HEAD is a method: call-api HEAD PATH.",
}
"""What to do instead of options that curl has and people type."""

_EPILOG = """\b
The API's URL and region come from an option, else from the environment, else from api_url and api_region in the AWS
profile. Shell completion: eval "$(_CALL_API_COMPLETE=bash_source call-api)", or zsh_source, or fish_source.

\b
Exit codes:
  0  the API responded with 2xx
  1  the output could not be written; the message says whether the call was made
  2  the call, an option or the environment is wrong; nothing was sent
  3  no credentials to sign with
  4  the API refused the caller (403)
  5  the API has no such resource (404)
  6  the API did not accept the call (other 3xx and 4xx)
  7  the API could not do it now (429, 409 in progress, 5xx)
  8  no usable response in time

\b
PATH is plain text: '/a b', not /a%20b. Only a query after it is taken as encoded. Git Bash turns PATH into a Windows
path unless MSYS_NO_PATHCONV=1 is set. Where PowerShell takes the quotes out of JSON, use @FILE or @-.
"""


class _CallOrCommand(click.Group):
    """A group whose first word need not be a command: then it is a call."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_command = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if is_command else ["call", *args])

    def invoke(self, ctx: click.Context) -> Any:
        ctx.color = False if os.environ.get("NO_COLOR") else None  # https://no-color.org; None: if it is a terminal
        with _output_errors():
            return super().invoke(ctx)


class _CallContext(click.Context):
    @property
    def command_path(self) -> str:
        """The command as it is typed: without the name of the hidden command for calls."""
        return self.parent.command_path if self.parent else ""


class _Call(click.Command):
    """The hidden command for calls, whose help is that of `call-api`."""

    context_class = _CallContext

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if hint := _CURL_OPTIONS.get(error.option_name):
                raise click.UsageError(f"There is no option {error.option_name}. {hint}", ctx) from error
            raise

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "configure|doctor [OPTIONS]", prefix="       ")
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        main.format_commands(ctx, formatter)


@click.group(cls=_CallOrCommand, commands=[configure, doctor], context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:  # noqa: D103 - `call` has the help
    if sys.stdout is None:
        raise click.UsageError("Standard output is closed. Nothing was sent; > /dev/null discards the output.")
    warnings.simplefilter("ignore", GetPassWarning)  # names a file of Python; getpass warns in words of its own
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # cp1252 and the like cannot print every response


@contextmanager
def _output_errors(done: str = "") -> Iterator[None]:
    """Say that standard output cannot be written, and what has been done all the same."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise  # a closed pipe, which click ends without a word
        with suppress(OSError):  # what is in the buffer would fail once more when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.ClickException(f"Cannot write the output: {error.strerror}.{done}") from error


def _complete_words(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    if context.params.get("words"):
        return []
    methods = [CompletionItem(method) for method in METHODS if method.startswith(incomplete.upper())]
    return [*main.shell_complete(context.find_root(), incomplete), *methods]


@main.command("call", cls=_Call, hidden=True, epilog=_EPILOG)
@click.argument("words", metavar="[METHOD] PATH", nargs=-1, required=True, shell_complete=_complete_words)
@click.option("-X", "--request", "given_method", metavar="METHOD", help="The method, as for curl.")
@click.option("--query", multiple=True, metavar="NAME=VALUE", help="Query parameter; may be repeated.")
@click.option("--segment", multiple=True, metavar="TEXT", help="Path segment to append, slashes included; repeatable.")
@click.option("-H", "--header", multiple=True, metavar="NAME:VALUE", help="Header; may be repeated.")
@click.option(
    "--json", "json_body", metavar="JSON", help="JSON to send as it is; @FILE reads a file, @- standard input."
)
@click.option(
    "-d", "--data", metavar="TEXT", help="Body of any type (see --header Content-Type); @FILE or @- for bytes."
)
@click.option("--idempotency-key", metavar="KEY", help="Key of a POST or PATCH; made up and shown unless given.")
@click.option("--api-ignores-idempotency-keys", is_flag=True, help="Send no key, and never repeat a POST or PATCH.")
@api_options
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="How long to try, and to wait for one response; 90 and 30 by default.",
)
@click.option(
    "--output",
    type=click.Choice(["pretty", "raw", "json"]),
    default="pretty",
    show_default=True,
    help="The body indented, the body as it comes, or the whole response as JSON.",
)
@click.option("-i", "--include", is_flag=True, help="Show status and headers before the body.")
@click.option("-v", "--verbose", is_flag=True, help="Log each request on standard error.")
@click.option("--dry-run", is_flag=True, help="Show the request and send nothing.")
@click.version_option(__version__, message="call-api %(version)s")
def call(
    *,
    words: tuple[str, ...],
    given_method: str | None,
    query: tuple[str, ...],
    segment: tuple[str, ...],
    header: tuple[str, ...],
    json_body: str | None,
    data: str | None,
    idempotency_key: str | None,
    api_ignores_idempotency_keys: bool,
    profile: str | None,
    timeout: float | None,
    output: str,
    include: bool,
    verbose: bool,
    dry_run: bool,
    **options: str,
) -> None:
    """Call the API in account A, signed with the credentials of an AWS profile.

    METHOD is GET unless given. PATH is plain text and may have a query: '/orders?limit=1'.
    """
    correlation_id, start, attempts = str(uuid4()), monotonic(), 0
    try:
        method, target = _split_words(words, given_method)
        request = _parse_call(method, target, query, segment, header, json_body, data, idempotency_key)
        settings = ApiSettings.resolve(profile, **options)
        in_profile = settings.in_profile.get("api_ignores_idempotency_keys", "").lower() == "true"
        keys_ignored = api_ignores_idempotency_keys or in_profile
        api_url = settings.parse_url()
        if not (keys_ignored or request.is_idempotent or idempotency_key):
            request = dataclasses.replace(request, idempotency_key=str(uuid4()))
            click.echo(f"Idempotency key: {request.idempotency_key}", err=True)
        if dry_run:
            _show_request(request, settings, correlation_id)
            return
        deadline, idle = start + (timeout or 90), max(Timing.read, timeout or 0)
        own = ProfileCredentials(settings.profile)
        region = settings.find_region(own.region)
        transport: StreamingTransport = Connections(api_url, 1, own.ca_bundle)
        if verbose:
            click.echo(f"{request.method} {api_url}{request.target}, signed for {region}", err=True)
            transport = VerboseTransport(transport)
        client = Client(
            api_url,
            region=region,
            service=settings.service,
            api_key=settings.api_key or None,
            credentials=settings.find_credentials(own),
            transport=transport,
            api_ignores_idempotency_keys=keys_ignored,
            timing=Timing(read=idle),
        )
        if output == "raw":
            with client.open(request, deadline=deadline, correlation_id=correlation_id, idle_timeout=idle) as stream:
                attempts = stream.attempts
                with _output_errors(f" The call was made: the API answered {stream.status}."):
                    if include:
                        _show_head(stream)
                    _write_raw(stream)
            return
        response = client.send(request, deadline=deadline, correlation_id=correlation_id)
        attempts = response.attempts
    except errors.CallError as error:
        attempts = error.attempts
        click.echo(f"{click.style('Error:', fg='red')} {error.problem}\n{find_remedy(error)}", err=True)
        last = error.__cause__ if isinstance(error, errors.DeadlineError) else None
        sys.exit(next(code for code, kinds in _EXIT_CODES if isinstance(last or error, kinds)))
    finally:
        if verbose and attempts:
            took = monotonic() - start
            click.echo(f"{attempts} attempt(s) in {took:.2f} s, correlation id {correlation_id}", err=True)
    with _output_errors(f" The call was made: the API answered {response.status}."):
        _show_response(response, output, include=include)


def _split_words(words: tuple[str, ...], given_method: str | None) -> tuple[str, str]:
    """Return method and path with query."""
    if len(words) == 2 and words[0].startswith("/") and words[1].upper() in METHODS:
        raise click.UsageError(f"METHOD comes first: {words[1].upper()} {words[0]}.")
    if len(words) > (1 if given_method else 2):
        what = "PATH beside --request" if given_method else "[METHOD] PATH"
        raise click.UsageError(f"Expected {what}, got {len(words)} words.")
    target = words[-1]
    check_path(target.partition("?")[0])
    if "#" in target:
        raise click.UsageError("PATH has a #, and a fragment is never sent: write %23 in a query, --segment in a path.")
    return (given_method or ("GET", *words)[-2]).upper(), target


def _parse_call(
    method: str,
    target: str,
    query: tuple[str, ...],
    segments: tuple[str, ...],
    header: tuple[str, ...],
    json_body: str | None,
    data: str | None,
    idempotency_key: str | None,
) -> Call:
    path, _, own_query = target.partition("?")
    try:
        names = parse_qs(own_query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise click.UsageError("The query after PATH has %XX escapes that are not UTF-8.") from error
    for item in query:
        name, value = _split(item, "=", "--query")
        names.setdefault(name, []).append(value)
    headers: dict[str, str] = {}
    for line in header:
        name, value = _split(line, ":", "--header")
        if name.lower() in map(str.lower, headers):
            raise click.BadParameter(f"{name} is given twice.", param_hint="--header")
        headers[name] = value.strip()
    body, content_type = _read_body(json_body, data)
    if body is not None and "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = content_type
    event = {
        "method": method,
        "path": [*filter(None, path.split("/")), *segments] if segments else path,
        "query": names,
        "headers": headers,
        "body": body,
        "idempotency_key": idempotency_key,
    }
    return Call.parse(event)


def _split(text: str, separator: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found:
        raise click.BadParameter(f"{name!r} is not NAME{separator}VALUE.", param_hint=option)
    return name, value


def _read_body(json_body: str | None, data: str | None) -> tuple[bytes | None, str]:
    """Return the body as it is sent, and its content type."""
    if json_body is not None and data is not None:
        raise click.UsageError("--json and --data exclude each other.")
    if json_body is not None:
        content = _read(json_body, "--json")
        try:
            text = content.decode(json.detect_encoding(content))
        except UnicodeDecodeError as error:
            raise click.BadParameter("The bytes are not UTF-8, UTF-16 or UTF-32.", param_hint="--json") from error
        try:
            read_json(text, "--json", is_sent_unchanged=True)
        except errors.InvalidCallError as error:
            if json_body.startswith("@") or '"' in text:
                raise
            allowed = "JSON; if the shell took the quotes away, as PowerShell and cmd do, give @FILE or @-"
            raise errors.InvalidCallError(error.field, error.value, allowed) from error
        return text.encode(), "application/json"
    if data is not None:
        is_file = data.startswith("@")
        return _read(data, "--data"), "application/octet-stream" if is_file else "text/plain; charset=utf-8"
    return None, ""


def _read(text: str, option: str) -> bytes:
    """Return an option's value, or what is in the file or standard input that it names, as bytes."""
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return click.get_binary_stream("stdin").read() if text == "@-" else Path(text[1:]).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"Cannot read {text[1:]}: {error.strerror}.", param_hint=option) from error
    except (RuntimeError, ValueError) as error:  # standard input is closed; a NUL in the name
        raise click.BadParameter(f"Cannot read {text[1:]!r}.", param_hint=option) from error


def _show_request(call: Call, settings: ApiSettings, correlation_id: str) -> None:
    click.echo(f"{call.method} {settings.parse_url()}{call.target}")
    for name, value in request_headers(call, correlation_id).items():
        click.echo(f"{name}: {value}")
    if call.body is not None:
        _write_raw([b"\n", call.body, b"\n"])
    role = f" in role {settings.role.role_arn}" if settings.role.role_arn else ""
    region = settings.find_region(settings.in_profile.get("region", ""))
    click.echo(f"Not sent. It would be signed for {region} by {describe_profile(settings.profile)}{role}.", err=True)


def _show_response(response: Response, output: str, *, include: bool) -> None:
    ascii_only = (getattr(sys.stdout, "encoding", None) or "").lower().replace("_", "-") != "utf-8"
    if output == "json":
        click.echo(json.dumps(response.as_json(), ensure_ascii=ascii_only))
        return
    if include:
        _show_head(response)
    if response.base64:
        click.echo("The body is not text, this is Base64; --output raw writes the bytes.", err=True)
        click.echo(response.body)
    elif isinstance(response.body, str) and not media_type.is_json(response.headers.get("content-type", "")):
        click.echo(response.body)
    elif response.content:
        click.echo(json.dumps(response.body, indent=2, ensure_ascii=ascii_only))


def _show_head(response: Response | StreamedResponse) -> None:
    click.echo(f"HTTP {response.status}")
    for name, value in response.headers.items():
        click.echo(f"{name}: {value}")
    click.echo()


def _write_raw(chunks: Iterable[bytes]) -> None:
    """Write bytes as they come; on a terminal, the next prompt starts on a line of its own."""
    sys.stdout.flush()
    stream = click.get_binary_stream("stdout")
    chunk = b""
    for chunk in chunks:
        stream.write(chunk)
        stream.flush()
    if chunk and not chunk.endswith(b"\n") and sys.stdout.isatty():
        stream.write(b"\n")
        stream.flush()


if __name__ == "__main__":
    main(prog_name="call-api")
