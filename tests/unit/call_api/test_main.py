"""`call-api` as a person uses it."""

import io
import json
import re
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from click.testing import Result

from call_api.__main__ import main
from cross_account_api import __version__
from tests.support.fakes import (
    API_URL,
    EXECUTOR_ROLE_ARN,
    EXTERNAL_ID,
    REQUEST_ID,
    Reply,
    json_reply,
    refusal,
    unreachable,
)
from tests.unit.call_api.support import FakeAws, GuardedApi, config_text, run


def call_api(*arguments: str, text: str | bytes | None = None, charset: str = "utf-8") -> Result:
    return run("--profile", "orders", *arguments, text=text, charset=charset)


@pytest.mark.parametrize(
    ("arguments", "method", "target"),
    [
        (["/o", "--query", "status=open", "--query", "n=1", "--query", "n=2=2"], "GET", "/o?status=open&n=1&n=2%3D2"),
        (["/o?n=1&empty=&note=a+b%2B", "--query", "n=2"], "GET", "/o?n=1&n=2&empty=&note=a%20b%2B"),
        (["-X", "DELETE", "/a"], "DELETE", "/a"),
        (["--request", "delete", "/a"], "DELETE", "/a"),
        (["put", "/a"], "PUT", "/a"),
        (["/files", "--segment", "a/b", "--segment", "c d"], "GET", "/files/a%2Fb/c%20d"),
        (["/", "--segment", "a%2Fb"], "GET", "/a%252Fb"),
        (["/100%"], "GET", "/100%25"),
    ],
)
def test_method_path_and_query(api: GuardedApi, arguments: list[str], method: str, target: str) -> None:
    result = call_api(*arguments)

    assert (result.exit_code, result.stdout, result.stderr) == (0, '{\n  "ok": true\n}\n', "")
    assert [(request.method, request.url) for request in api.requests] == [(method, f"{API_URL}{target}")]


def test_a_path_that_looks_encoded_is_noted_and_sent_as_it_is(api: GuardedApi) -> None:
    result = call_api("/a%20b?q=a%20b")

    assert result.stderr == "Note: a path is plain text, so %20 is sent as %2520.\n"
    assert api.requests[0].url == f"{API_URL}/a%2520b?q=a%20b"


def test_a_post_gets_an_idempotency_key_and_shows_it(api: GuardedApi) -> None:
    result = call_api("post", "/orders", "--json", '{"sku": "tea"}', "--header", "X-Note: a: b")

    [request] = api.requests
    assert (request.method, request.body) == ("POST", b'{"sku": "tea"}')
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Note"] == "a: b"
    assert (result.exit_code, result.stderr) == (0, f"Idempotency key: {request.headers['Idempotency-Key']}\n")


def test_a_key_that_is_given_is_used_and_one_is_shown_once_the_call_was_checked(api: GuardedApi) -> None:
    assert call_api("PATCH", "/orders/1", "--json", "{}", "--idempotency-key", "key-1").stderr == ""
    assert api.requests[0].headers["Idempotency-Key"] == "key-1"
    assert "Idempotency key" not in call_api("POST", "/", "--json", "{").stderr
    assert "Idempotency key" not in call_api("POST", "/", "--api-url", "x").stderr


OTHERS_ROLE = "arn:aws:iam::333333333333:role/partner"
JSON = '{"tea": "☕", "price": 1.10, "n": 12345678901234567890.123456789}'


@pytest.mark.parametrize(
    "content",
    [JSON.encode(encoding) for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")],
)
def test_json_is_sent_as_it_is_in_utf_8(api: GuardedApi, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "body.json").write_bytes(content)

    for where in ("@-", f"@{tmp_path}/body.json"):
        result = call_api("PUT", "/", "--json", where, text=content, charset="cp1252")
        assert result.exit_code == 0, result.stderr
    assert [request.body for request in api.requests] == [JSON.encode()] * 2


@pytest.mark.parametrize(
    ("arguments", "body", "content_type"),
    [
        (["-d", "a=1&b=☕"], "a=1&b=☕".encode(), "text/plain; charset=utf-8"),
        (["--data", "@-"], b"\xff\x00", "application/octet-stream"),
        (["-d", "<a/>", "-H", "content-type: text/xml"], b"<a/>", "text/xml"),
        (["-d", "", "-H", "Content-Type: application/x-www-form-urlencoded"], b"", "application/x-www-form-urlencoded"),
        (["--json", '"x"', "-H", "Content-Type: application/merge-patch+json"], b'"x"', "application/merge-patch+json"),
    ],
)
def test_any_body_with_its_content_type(api: GuardedApi, arguments: list[str], body: bytes, content_type: str) -> None:
    result = call_api("PUT", "/", *arguments, text=b"\xff\x00")

    assert result.exit_code == 0, result.stderr
    [request] = api.requests
    assert request.body == body
    assert [value for name, value in request.headers.items() if name.lower() == "content-type"] == [content_type]


@pytest.mark.parametrize("how", ["flag", "profile"])
def test_an_api_that_ignores_keys_gets_none_and_no_second_request(api: GuardedApi, config: Path, how: str) -> None:
    api.rest = json_reply(502, {})
    if how == "profile":
        config.write_text(config_text({"api_ignores_idempotency_keys": "true"}))

    result = call_api("POST", "/", *(["--api-ignores-idempotency-keys"] if how == "flag" else []))

    [request] = api.requests
    assert "Idempotency-Key" not in request.headers
    assert (result.exit_code, "Idempotency key" in result.stderr) == (7, False)


def test_a_timeout_is_that_of_one_response_too(api: GuardedApi) -> None:
    call_api("/", "--timeout", "300")
    call_api("/", "--timeout", "5")
    call_api("/")

    assert [timeout.read for timeout in api.timeouts] == [300, 30, 30]
    assert [round(timeout.total) for timeout in api.timeouts] == [300, 5, 90]


def test_a_job_needs_no_configuration_file(
    api: GuardedApi, aws: FakeAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = {"AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "x"}
    for name, value in {**variables, "EXECUTOR_ROLE_ARN": EXECUTOR_ROLE_ARN, "EXTERNAL_ID": EXTERNAL_ID}.items():
        monkeypatch.setenv(name, value)

    assert run("/").exit_code == 0
    assume = aws.asked[-1]
    assert (assume["RoleArn"], assume["ExternalId"]) == (EXECUTOR_ROLE_ARN, EXTERNAL_ID)
    assert assume["RoleSessionName"] == "222222222222-my-user"


def test_a_role_of_the_environment_that_the_profile_names_is_assumed_once(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTOR_ROLE_ARN", EXECUTOR_ROLE_ARN)

    assert call_api("/").exit_code == 0
    assert [request["Action"] for request in aws.asked] == ["AssumeRole"]


def test_another_service_is_signed_for(api: GuardedApi, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://abc123.lambda-url.eu-west-1.on.aws"
    config.write_text(config_text({"api_service": "lambda"}))
    call_api("/", "--api-url", url)
    monkeypatch.setenv("API_SERVICE", "execute-api")
    wrong = call_api("/", "--api-url", url)

    assert [request.headers["Authorization"].split("/")[3] for request in api.requests] == ["lambda"]
    assert wrong.exit_code == 2
    assert "--service is 'execute-api'. It must be lambda for abc123.lambda-url.eu-west-1.on.aws." in wrong.stderr
    assert "Set --service or $API_SERVICE, or api_service in the profile." in wrong.stderr


HEADERS = {"x-amzn-requestid": REQUEST_ID, "content-type": "application/json"}
WHOLE = {"status": 200, "headers": HEADERS, "body": {"a": 1}, "attempts": 1, "request_id": REQUEST_ID}


@pytest.mark.parametrize(
    ("reply", "arguments", "stdout"),
    [
        (Reply(204, b""), [], ""),
        (json_reply(200, None), [], "null\n"),
        (json_reply(200, {"tea": "☕"}), [], '{\n  "tea": "☕"\n}\n'),
        (Reply(200, b"tea", {"Content-Type": "text/x-json"}), [], "tea\n"),
        (Reply(200, b'"tea"', {"Content-Type": "Application/Problem+JSON;a=b"}), [], '"tea"\n'),
        (Reply(200, b'{"a":NaN', {"Content-Type": "application/json"}), ["--output", "raw"], '{"a":NaN'),
        (Reply(200, b"tea"), ["--output", "raw", "--include"], f"HTTP 200\nx-amzn-requestid: {REQUEST_ID}\n\ntea"),
        (json_reply(200, {"a": 1}), ["--output", "json", "--include"], f"{json.dumps(WHOLE)}\n"),
    ],
)
def test_the_response_in_the_form_asked_for(api: GuardedApi, reply: Reply, arguments: list[str], stdout: str) -> None:
    api.rest = reply

    assert call_api("/", *arguments).stdout == stdout


def test_raw_is_written_as_it_comes(api: GuardedApi) -> None:
    api.script, api.rest = [Reply(503)], Reply(200, b"x" * 11_000_000)
    assert call_api("/", "--output", "raw").stdout_bytes == b"x" * 11_000_000

    api.cut = unreachable("cut off")
    result = call_api("/", "--output", "raw", "--verbose", "--timeout", "60")

    assert (result.exit_code, result.stdout_bytes) == (8, b"x" * 11_000_000)
    assert "Attempt 1: 200" in result.stderr
    assert "Error: No complete response from the API: cut off." in result.stderr
    assert "1 attempt(s)" in result.stderr


def test_a_body_that_is_not_text_is_shown_as_base64(api: GuardedApi) -> None:
    api.rest = Reply(200, b"\xff\x00")

    result = call_api("/")

    assert result.stdout == "/wA=\n"
    assert "--output raw" in result.stderr


def test_what_the_terminal_cannot_show_is_escaped(api: GuardedApi) -> None:
    api.rest = json_reply(200, {"tea": "☕"})
    as_json = call_api("/", charset="cp1252")
    api.rest = Reply(200, "☕".encode(), {"Content-Type": "text/plain"})
    as_text = call_api("/", charset="cp1252")

    assert (as_json.exit_code, json.loads(as_json.stdout)) == (0, {"tea": "☕"})
    assert (as_text.exit_code, as_text.stdout) == (0, "\\u2615\n")


def test_verbose_shows_every_attempt_and_no_secret(api: GuardedApi) -> None:
    api.script = [unreachable(), json_reply(503, {}), Reply(404)]

    result = call_api("POST", "/orders", "--query", "note=my note", "--json", '{"card": "4711"}', "--verbose")

    assert result.exit_code == 5
    request = api.requests[0]
    _, first, label, *canonical, body = result.stderr.partition("\nAttempt")[0].splitlines()
    assert (first, label) == (f"POST {API_URL}/orders?note=my%20note, signed for eu-west-1", "Canonical request:")
    assert canonical == [
        "POST",
        "/v1/orders",
        "note=my%20note",
        "host:a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
        f"x-amz-content-sha256:{body}",
        f"x-amz-date:{request.headers['x-amz-date']}",
        "x-amz-security-token:(session token)",
        "",
        "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
    ]
    assert body == sha256(b'{"card": "4711"}').hexdigest()
    last = rf"3 attempt\(s\) in \d\.\d\d s, correlation id {request.headers['X-Correlation-Id']}"
    attempts = [
        rf"Attempt {number}: {outcome} after \d\.\d\d s"
        for number, outcome in enumerate(("no response", "503", "404"), 1)
    ]
    assert re.search("\n" + "\n".join([*attempts, "Error: (.|\n)*", last]) + "\n$", result.stderr)
    signatures = [request.headers["Authorization"].partition("Signature=")[2] for request in api.requests]
    token = next(iter(api.sessions))
    secrets = [secret for secret in api.secrets() if not secret.startswith("ASIA")]
    for secret in [*secrets, str(token), *signatures, "4711"]:
        assert secret not in result.output + result.stderr


def test_the_profile_gives_what_neither_option_nor_environment_does(
    api: GuardedApi, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_URL")
    nowhere = call_api("/whoami").stderr
    config.write_text(config_text({"api_url": API_URL}))
    call_api("/whoami")
    config.write_text(config_text({"api_url": "https://other.example/v1"}))
    call_api("/whoami", "--api-url", API_URL)

    assert [request.url for request in api.requests] == [f"{API_URL}/whoami"] * 2
    assert "Error: --api-url is empty." in nowhere
    assert "Set --api-url or $API_URL, or write a profile with call-api configure." in nowhere


CUSTOM_DOMAIN = ["--api-url", "https://api.example.org/v1"]


@pytest.mark.parametrize(
    ("environment", "profile", "options", "region"),
    [
        ({}, {"api_region": "eu-north-1"}, [], "eu-north-1"),
        ({}, {"api_region": "eu-north-1"}, ["--region", "eu-south-2"], "eu-south-2"),
        ({"API_REGION": "eu-north-1"}, {}, [], "eu-north-1"),
        ({"AWS_REGION": "eu-south-1"}, {"region": None}, CUSTOM_DOMAIN, "eu-south-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-south-2"}, {"region": None}, CUSTOM_DOMAIN, "eu-south-2"),
    ],
)
def test_the_region_that_is_signed_for(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    profile: dict[str, str | None],
    options: list[str],
    region: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config.write_text(config_text(profile))

    assert f"signed for {region}" in call_api("/whoami", *options, "--verbose").stderr


def test_the_api_key_is_sent_and_not_shown(api: GuardedApi, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Somebody else's secret under a common name.
    monkeypatch.setenv("API_KEY", "of-another-service-0123456789")
    keys = ["a1b2c3d4e5f6g7h8i9j0", "k1l2m3n4o5p6q7r8s9t0"]
    call_api("/whoami")
    config.write_text(config_text({"api_key": keys[0]}))
    for arguments in ([], ["--api-key", keys[1]], ["--dry-run"]):
        result = call_api("/whoami", "--verbose", *arguments)
        assert not [key for key in keys if key in result.stdout + result.stderr]
    assert [request.headers.get("X-Api-Key") for request in api.requests] == [None, *keys]

    wrong = call_api("/whoami", "--api-key", "too-short")
    assert wrong.exit_code == 2
    assert "api_key is 9 characters. It must be 20 to 128 visible ASCII characters." in wrong.stderr


class Terminal(io.TextIOWrapper):
    """A stream that is a terminal."""

    def __init__(self) -> None:
        self.shown = io.BytesIO()
        super().__init__(self.shown)

    def isatty(self) -> bool:
        return True


def end(*arguments: str) -> object:
    """Run the command with the standard streams as they are."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--profile", "orders"])
    return ended.value.code


@pytest.mark.parametrize(("no_color", "shown"), [("", b"\x1b[31mError:"), ("1", b"Error: path is 'orders'")])
def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch, no_color: str, shown: bytes) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())

    assert end("orders") == 2
    assert terminal.shown.getvalue().startswith(shown)


def test_a_terminal_gets_a_final_newline(api: GuardedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.script = [Reply(200, b"a"), Reply(200, b"b\n"), Reply(200, b"")]
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())

    assert [end("/", "--output", "raw") for _ in range(3)] == [0, 0, 0]
    assert terminal.shown.getvalue() == b"a\nb\n"


MADE = " The call was made: the API answered 200."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is there on Linux only")
@pytest.mark.parametrize(
    ("arguments", "made"),
    [
        *((["/", "--output", output], MADE) for output in ("pretty", "raw")),
        (["/", "--dry-run"], ""),
        (["doctor"], ""),
    ],
)
def test_a_full_disk_does_not_hide_whether_the_call_was_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], made: str
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert end(*arguments) == 1

    assert capsys.readouterr().err.endswith(f"Error: Cannot write the output: No space left on device.{made}\n")


@pytest.mark.parametrize(
    ("stream", "words"),
    [("stdout", "Standard output is closed. Nothing was sent"), ("stdin", "Invalid value for --json: Cannot read '-'")],
)
def test_a_standard_stream_may_be_closed(
    api: GuardedApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: str, words: str
) -> None:
    monkeypatch.setattr(sys, stream, None)

    assert end("PUT", "/", "--json", "@-") == 2
    assert words in capsys.readouterr().err
    assert api.requests == []


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ("call-api ", "", {"configure", "doctor", "GET", "POST"}),
        ("call-api GET ", "", set()),
        ("call-api ", "--prof", {"--profile"}),
        ("call-api GET / --profile ", "or", {"orders"}),
        ("call-api / --output ", "", {"pretty", "raw", "json"}),
    ],
)
def test_a_shell_completes(words: str, incomplete: str, expected: set[str]) -> None:
    completion = BashComplete(main, {}, "call-api", "_CALL_API_COMPLETE")

    found = {item.value for item in completion.get_completions(words.split()[1:], incomplete)}

    assert found >= expected
    assert found or not expected


def test_help_and_version() -> None:
    result = run("--help")

    assert result.exit_code == 0
    for text in ("[METHOD] PATH", "configure|doctor [OPTIONS]", "--idempotency-key", "  configure  ", "Exit codes:"):
        assert text in result.stdout
    assert run("--version").stdout == f"call-api {__version__}\n"


def test_a_dry_run_shows_the_request_and_sends_nothing(api: GuardedApi, aws: FakeAws) -> None:
    result = call_api(
        "POST", "/é", "--json", '{"a": 1}', "--header", "content-type:text/x", "--idempotency-key", "k", "--dry-run"
    )

    lines = result.stdout.splitlines()
    assert lines[0] == f"POST {API_URL}/%C3%A9"
    assert {"content-type: text/x", "Idempotency-Key: k", "Accept: application/json"} < set(lines)
    assert lines[-2:] == ["", '{"a": 1}']
    role = f" in role {EXECUTOR_ROLE_ARN}"
    assert result.stderr == f"Not sent. It would be signed for eu-west-1 by profile orders{role}.\n"
    assert (api.requests, aws.asked) == ([], [])
    assert "Authorization" not in call_api("/", "--dry-run").stdout


@pytest.mark.parametrize(
    ("reply", "exit_code", "words"),
    [
        (Reply(302), 6, "302"),
        (Reply(400), 6, "400"),
        (refusal("AccessDeniedException"), 4, "Account A: the executor role's policy lacks"),
        (Reply(202, b"", {"x-amzn-waf-action": "challenge"}), 4, "AWS WAF"),
        (refusal("ExpiredTokenException"), 4, "Account B: the session has expired"),
        (Reply(404), 5, "404"),
        (json_reply(429, {}, x_amzn_errortype="LimitExceededException"), 7, "usage plan's quota"),
        (json_reply(409, {}, Retry_After="3600"), 7, "No time for attempt 2"),
        (json_reply(200, {}), 0, ""),
        (Reply(200, b"{", {"Content-Type": "application/json"}), 8, "its body is not"),
    ],
)
def test_the_exit_code_says_what_kind_of_failure_it_was(
    api: GuardedApi, reply: Reply, exit_code: int, words: str
) -> None:
    api.rest = reply

    result = call_api("/")

    assert result.exit_code == exit_code
    assert result.stderr.startswith("Error: " if exit_code else "")
    assert words in result.stderr
    assert (result.stdout == "") is bool(exit_code)


@pytest.mark.parametrize(
    "reply", [Reply(429), Reply(503), json_reply(409, {}, Retry_After="0"), unreachable()], ids=str
)
def test_the_exit_code_is_that_of_the_last_failure_whether_attempts_or_time_run_out(
    api: GuardedApi, reply: Reply | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    exit_code = 8 if isinstance(reply, Exception) else 7
    api.rest = reply
    assert call_api("/").exit_code == exit_code

    monkeypatch.setattr("random.uniform", lambda *_: 3600.0)
    result = call_api("/")

    assert (result.exit_code, "No time for attempt 2" in result.stderr) == (exit_code, True)
    assert "\nGive it more time with --timeout. Last failure: " in result.stderr
    assert "batch" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Missing argument"),
        (["GET", "/", "x"], "[METHOD] PATH"),
        (["FETCH", "/"], "method is 'FETCH'"),
        (["-X", "POST", "PUT", "/"], "Expected PATH beside --request, got 2 words."),
        (["/q", "post"], "METHOD comes first: POST /q."),
        (["/q", "-o", "file"], "There is no option -o. --output raw > FILE"),
        (["-sS", "/q"], "There is no option -s. There is no progress"),
        (["-q", "/q"], "No such option: -q"),
        (["C:/Program Files/Git/orders"], "Git Bash makes a Windows path of what begins with a slash. Set MSYS_NO_PAT"),
        (["/q?name=Gr%FC%DFe"], "%XX escapes that are not UTF-8"),
        (["/q#x"], "PATH has a #"),
        (["PUT", "/", "--json", "{sku: ABC}"], "if the shell took the quotes away, as PowerShell and cmd do, give @FI"),
        (["/", "--query", "a"], "not NAME=VALUE"),
        (["/", "--header", "a"], "not NAME:VALUE"),
        (["/", "--header", "X: 1", "--header", "x: 2"], "x is given twice"),
        (["PUT", "/", "--json", '{"a": 1, "a": 2}'], "--json is JSON that gives 'a' twice"),
        (["PUT", "/", "--json", "@/missing.json"], "Cannot read /missing.json"),
        (["PUT", "/", "--json", "@-"], "The bytes are not UTF-8"),
        (["PUT", "/", "--json", "1", "--data", "1"], "exclude each other"),
        (["/", "--segment", ".."], "segment '..'"),
        (["/", "--timeout", "0"], "--timeout"),
        (["/", "--api-url", "http://example.com"], "--api-url is 'http://example.com'"),
        (["/", "--region", "here"], "Set --region or $API_REGION"),
        (["/", "--role-arn", "x"], "--role-arn is 'x'"),
        (["/", "--role-arn", OTHERS_ROLE, "--external-id", "x y"], "Set --external-id or $EXTERNAL_ID."),
        (["/", "--role-arn", OTHERS_ROLE, "--session-name", "x y"], "Set --session-name or $SESSION_NAME."),
    ],
)
def test_bad_input_is_reported_before_anything_is_sent(api: GuardedApi, arguments: list[str], text: str) -> None:
    result = call_api(*arguments, text=b"\xff")

    assert result.exit_code == 2
    assert text in result.stderr
    assert "call-api call" not in result.stderr
    assert api.requests == []


def test_a_configuration_that_is_broken_completes_nothing(config: Path) -> None:
    config.write_text("[profile a]\n[profile a]\n")

    assert BashComplete(main, {}, "call-api", "_CALL_API_COMPLETE").get_completions(["/", "--profile"], "") == []
