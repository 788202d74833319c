"""`call-api` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result

from caller.__main__ import main
from tests.unit.caller.fakes import API_URL, REQUEST_ID, FakeApi, FakeCredentials, FakeSts, Reply, json_reply, refusal


@pytest.fixture(autouse=True)
def person(
    fake_api: FakeApi, sts: FakeSts, session: requests.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person whose profile may call the API; its keys are a session that the API knows."""
    user = FakeCredentials(fake_api).session
    (tmp_path / "config").write_text(
        f"[profile orders]\nregion = eu-west-1\naws_access_key_id = {user.access_key}\n"
        f"aws_secret_access_key = {user.secret_key}\naws_session_token = {user.token}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("API_URL", API_URL)
    monkeypatch.setattr("caller.__main__.new_session", lambda *_: session)


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

    assert f"GET {API_URL}/whoami, signed for eu-west-1" in result.stderr
    assert "1 attempt(s), " in result.stderr
    assert fake_api.requests[0].headers["X-Correlation-Id"] in result.stderr
    assert [secret for secret in fake_api.secrets() if secret in result.output + result.stderr] == []


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
        (Reply(302), 4, "RedirectError"),
        (Reply(400), 4, "RejectedError"),
        (refusal("AccessDeniedException"), 4, "RefusedError"),
        (Reply(409), 4, "ConflictError"),
        (json_reply(409, {}, Retry_After="3600"), 6, "DeadlineError"),
        (Reply(200, b"x" * 6_000_001), 6, "AnswerTooLargeError"),
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
    ("reply", "exit_code"), [(Reply(429), 5), (Reply(503), 5), (json_reply(409, {}, Retry_After="0"), 5)]
)
def test_what_may_pass_later_has_an_exit_code_of_its_own(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch, reply: Reply, exit_code: int
) -> None:
    monkeypatch.setattr("caller.__main__.monotonic", lambda: 1000.0)
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
