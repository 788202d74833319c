"""`call-api` as a person uses it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import urllib3
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result

from call_api.__main__ import main
from tests.support.fakes import (
    API_URL,
    REQUEST_ID,
    FakeApi,
    FakeCredentials,
    FakeSts,
    FakeTime,
    Reply,
    json_reply,
    refusal,
)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.fixture
def no_url_in_the_environment(person: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_URL")


@pytest.fixture(autouse=True)
def person(fake_api: FakeApi, sts: FakeSts, config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person whose profile may call the API; its keys are a session that the API knows."""
    user = FakeCredentials(fake_api).session
    config_file.write_text(
        f"[profile orders]\nregion = eu-west-1\naws_access_key_id = {user.access_key}\n"
        f"aws_secret_access_key = {user.secret_key}\naws_session_token = {user.token}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config_file))
    monkeypatch.setenv("HOME", str(config_file.parent))
    monkeypatch.setenv("API_URL", API_URL)
    monkeypatch.setattr("call_api.__main__.Connections", lambda *_: fake_api)


def call_api(*arguments: str, text: str | None = None) -> Result:
    return CliRunner(mix_stderr=False).invoke(main, ["--profile", "orders", *arguments], input=text)


def test_get_is_the_method_unless_one_is_given(fake_api: FakeApi) -> None:
    result = call_api("/orders", "--query", "status=open", "--query", "limit=1", "--query", "limit=2=2")

    assert (result.exit_code, result.stdout, result.stderr) == (0, '{\n  "ok": true\n}\n', "")
    [request] = fake_api.requests
    assert (request.method, request.url) == ("GET", f"{API_URL}/orders?status=open&limit=1&limit=2%3D2")


def test_a_post_gets_an_idempotency_key_and_shows_it(fake_api: FakeApi) -> None:
    result = call_api("post", "/orders", "--json", '{"sku": "tea"}', "--header", "X-Note: a: b")

    [request] = fake_api.requests
    assert request.method == "POST"
    assert request.body == b'{"sku":"tea"}'
    assert request.headers["X-Note"] == "a: b"
    assert result.stderr == f"Idempotency key: {request.headers['Idempotency-Key']}\n"
    assert result.exit_code == 0


def test_a_key_that_is_given_is_used(fake_api: FakeApi) -> None:
    result = call_api("PATCH", "/orders/1", "--json", "{}", "--idempotency-key", "key-1")

    assert fake_api.requests[0].headers["Idempotency-Key"] == "key-1"
    assert result.stderr == ""


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_a_body_from_elsewhere(fake_api: FakeApi, tmp_path: Path, source: str) -> None:
    (tmp_path / "body.json").write_text('["☕"]', encoding="utf-8")

    if source == "file":
        call_api("PUT", "/", "--json", f"@{tmp_path}/body.json")
    else:
        call_api("PUT", "/", "--json", "@-", text='["☕"]')

    assert fake_api.requests[0].body == '["☕"]'.encode()


@pytest.mark.parametrize(
    ("reply", "arguments", "stdout"),
    [
        (Reply(204, b""), [], ""),
        (json_reply(200, None), [], "null\n"),
        (json_reply(200, {"tea": "☕"}), [], '{\n  "tea": "☕"\n}\n'),
        (Reply(200, b"tea"), [], "tea\n"),
        (json_reply(200, {"a": [1]}), ["--output", "raw"], '{"a": [1]}'),
        (
            Reply(200, b"tea"),
            ["--output", "raw", "--include"],
            f"HTTP 200\nx-amzn-requestid: {REQUEST_ID}\n\ntea",
        ),
        (
            json_reply(200, {"a": 1}),
            ["--output", "json", "--include"],
            json.dumps(
                {
                    "status": 200,
                    "headers": {"x-amzn-requestid": REQUEST_ID, "content-type": "application/json"},
                    "body": {"a": 1},
                    "attempts": 1,
                    "request_id": REQUEST_ID,
                }
            )
            + "\n",
        ),
    ],
)
def test_the_answer_as_it_is_asked_for(fake_api: FakeApi, reply: Reply, arguments: list[str], stdout: str) -> None:
    fake_api.rest = reply

    assert call_api("/", *arguments).stdout == stdout


def test_bytes_stay_bytes(fake_api: FakeApi) -> None:
    fake_api.rest = Reply(200, b"\xff\x00")

    assert call_api("/", "--output", "raw").stdout_bytes == b"\xff\x00"


def test_verbose_tells_what_is_done_and_no_secret(fake_api: FakeApi) -> None:
    result = call_api("/whoami", "--verbose")

    [request] = fake_api.requests
    first, label, *canonical, attempt, last = result.stderr.splitlines()
    assert (first, label) == (f"GET {API_URL}/whoami, signed for eu-west-1", "Canonical request:")
    assert canonical == [
        "GET",
        "/v1/whoami",
        "",
        "host:a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
        f"x-amz-content-sha256:{sha256().hexdigest()}",
        f"x-amz-date:{request.headers['x-amz-date']}",
        "x-amz-security-token:(session token)",
        "",
        "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
        sha256().hexdigest(),
    ]
    assert re.fullmatch(r"Attempt 1: 200 after \d\.\d\d s", attempt)
    assert re.fullmatch(rf"1 attempt\(s\) in \d\.\d\d s, correlation id {request.headers['X-Correlation-Id']}", last)


def test_verbose_tells_of_every_attempt_and_of_no_secret(
    fake_api: FakeApi, clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("call_api.__main__.monotonic", clock.monotonic)
    fake_api.script = [urllib3.exceptions.ProtocolError(), json_reply(503, {}), Reply(404)]

    result = call_api("POST", "/orders", "--query", "note=my note", "--json", '{"card": "4711"}', "--verbose")

    assert re.findall("Attempt .*(?= after)", result.stderr) == [
        "Attempt 1: no answer",
        "Attempt 2: 503",
        "Attempt 3: 404",
    ]
    assert "\n/v1/orders\nnote=my%20note\n" in result.stderr
    assert result.exit_code == 5
    signatures = [request.headers["Authorization"].partition("Signature=")[2] for request in fake_api.requests]
    for secret in [*fake_api.secrets(), *signatures, "4711"]:
        assert secret not in result.output + result.stderr


@pytest.mark.parametrize(
    ("profile", "arguments", "url"),
    [
        (f"api_url = {API_URL}", [], f"{API_URL}/whoami"),
        ("api_url = https://other.example/v1", ["--api-url", API_URL], f"{API_URL}/whoami"),
        ("", [], None),
    ],
)
@pytest.mark.usefixtures("no_url_in_the_environment")
def test_the_profile_gives_what_neither_option_nor_environment_does(
    fake_api: FakeApi, config_file: Path, profile: str, arguments: list[str], url: str | None
) -> None:
    config_file.write_text(f"{config_file.read_text()}{profile}\n")

    result = call_api("/whoami", *arguments)

    assert [request.url for request in fake_api.requests] == ([url] if url else [])
    assert result.stderr.startswith("" if url else "SettingsError: API_URL is empty.")


def test_the_region_of_the_profile_is_signed_for(fake_api: FakeApi, config_file: Path) -> None:
    config_file.write_text(f"{config_file.read_text()}api_region = eu-north-1\n")

    assert "signed for eu-north-1" in call_api("/whoami", "--verbose").stderr
    assert "signed for eu-south-2" in call_api("/whoami", "--region", "eu-south-2", "--verbose").stderr


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals(environment: dict[str, str], coloured: bool) -> None:
    command = [sys.executable, "-m", "caller", "orders"]
    environment = {**os.environ, **environment}
    controller, terminal = pty.openpty()
    subprocess.run(command, env=environment, stderr=terminal, check=False)
    os.close(terminal)
    on_terminal = os.read(controller, 10_000).decode()
    os.close(controller)
    piped = subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stderr

    assert on_terminal.startswith("\x1b[31mInvalidCallError" if coloured else "InvalidCallError: path is 'orders'")
    assert piped.startswith("InvalidCallError: path is 'orders'")


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ("call-api ", "", {"configure", "doctor", "GET", "POST"}),
        ("call-api ", "po", {"POST"}),
        ("call-api GET ", "", set()),
        ("call-api ", "--prof", {"--profile"}),
        ("call-api GET / --profile ", "or", {"orders"}),
        ("call-api doctor --profile ", "", {"orders"}),
        ("call-api / --output ", "", {"pretty", "raw", "json"}),
    ],
)
def test_a_shell_completes(words: str, incomplete: str, expected: set[str]) -> None:
    completion = BashComplete(main, {}, "call-api", "_CALL_API_COMPLETE")

    found = {item.value for item in completion.get_completions(words.split()[1:], incomplete)}

    assert found >= expected
    assert found or not expected


def test_help_shows_the_options_of_a_call_and_the_other_commands() -> None:
    result = CliRunner(mix_stderr=False).invoke(main, ["--help"])

    assert result.exit_code == 0
    for text in ("[METHOD] PATH", "--idempotency-key", "configure", "doctor", "Exit codes:"):
        assert text in result.stdout


def test_a_dry_run_shows_the_request_and_sends_nothing(fake_api: FakeApi, sts: FakeSts) -> None:
    result = call_api(
        "POST", "/é", "--json", '{"a": 1}', "--header", "content-type:text/x", "--idempotency-key", "k", "--dry-run"
    )

    lines = result.stdout.splitlines()
    assert lines[0] == f"POST {API_URL}/%C3%A9"
    assert {"content-type: text/x", "Idempotency-Key: k", "Accept: application/json"} < set(lines)
    assert lines[-2:] == ["", '{"a":1}']
    assert fake_api.requests == []
    assert "Authorization" not in call_api("/", "--dry-run").stdout


@pytest.mark.parametrize(
    ("reply", "exit_code", "error"),
    [
        (Reply(302), 6, "RedirectError"),
        (Reply(400), 6, "BadRequestError"),
        (refusal("AccessDeniedException"), 4, "ForbiddenError"),
        (refusal("ExpiredTokenException"), 4, "ExpiredSessionError"),
        (Reply(404), 5, "NotFoundError"),
        (Reply(409), 6, "ConflictError"),
        (json_reply(409, {}, Retry_After="3600"), 8, "DeadlineError"),
        (Reply(200, b"x" * 6_000_001), 8, "ResponseTooLargeError"),
    ],
)
def test_the_exit_code_says_what_kind_of_failure_it_was(
    fake_api: FakeApi, reply: Reply, exit_code: int, error: str
) -> None:
    fake_api.rest = reply

    result = call_api("/")

    assert result.exit_code == exit_code
    assert result.stderr.startswith(f"{error}: ")
    assert result.stdout == ""


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("reply", "exit_code"), [(Reply(429), 7), (Reply(503), 7), (json_reply(409, {}, Retry_After="0"), 7)]
)
def test_what_may_pass_later_has_an_exit_code_of_its_own(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch, reply: Reply, exit_code: int
) -> None:
    monkeypatch.setattr("call_api.__main__.monotonic", lambda: 1000.0)
    fake_api.rest = reply

    assert call_api("/").exit_code == exit_code


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "Missing argument"),
        (["GET", "/", "x"], "[METHOD] PATH"),
        (["FETCH", "/"], "method is 'FETCH'"),
        (["orders"], "path is 'orders'"),
        (["/", "--query", "a"], "not NAME=VALUE"),
        (["/", "--header", "a"], "not NAME:VALUE"),
        (["/", "--header", "Host: example.com"], "headers.Host"),
        (["/", "--json", "{}"], "no body with GET"),
        (["PUT", "/", "--json", "{"], "not JSON"),
        (["PUT", "/", "--json", "@/missing.json"], "Cannot read /missing.json"),
        (["/", "--api-url", "http://example.com"], "API_URL is 'http://example.com'"),
        (["/", "--region", "here"], "API_REGION is 'here'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(fake_api: FakeApi, arguments: list[str], text: str) -> None:
    result = call_api(*arguments)

    assert result.exit_code == 2
    assert text in result.stderr
    assert fake_api.requests == []


def test_a_profile_that_does_not_exist() -> None:
    result = CliRunner(mix_stderr=False).invoke(main, ["--profile", "nobody", "/"])

    assert result.exit_code == 3
    assert result.stderr.startswith("AssumeRoleError: No session of profile nobody: ProfileNotFound")


def test_doctor_refuses_a_path_that_is_none() -> None:
    result = CliRunner(mix_stderr=False).invoke(main, ["doctor", "orders"])

    assert result.exit_code == 2
    assert "path is 'orders'" in result.stderr


def test_a_configuration_that_is_broken_completes_nothing(config_file: Path) -> None:
    config_file.write_text("[profile a]\n[profile a]\n")

    assert BashComplete(main, {}, "call-api", "_CALL_API_COMPLETE").get_completions(["/", "--profile"], "") == []
