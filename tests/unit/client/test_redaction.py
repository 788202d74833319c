"""No credential is in an error, its traceback, the log or on a stream, whatever it holds and wherever it comes from."""

import hashlib
import json
import logging
import re
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import cycle, product
from pathlib import Path

import pytest
import requests
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import HTTPClientError

from cross_account_api.client import Client
from cross_account_api.credentials import ProfileCredentials, assume_role_errors
from cross_account_api.errors import ApiError, AssumeRoleError, one_line
from cross_account_api.redaction import describe_fault, find_fault, redact
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, FakeApi, FakeCredentials, FakeSts, json_reply, refusal

SECRET = "HUNTER2-HUNTER2-HUNTER2"
PARTS = ("AccessKeyId", "SecretAccessKey", "Token")
BAD = ["\r", "\n x", " ", "\0", "é", "\udc80"]
SETTINGS = {
    "AccessKeyId": "aws_access_key_id",
    "SecretAccessKey": "aws_secret_access_key",
    "Token": "aws_session_token",
}
CHAINED = f"\n[profile p]\nregion = eu-west-1\nrole_arn = {EXECUTOR_ROLE_ARN}\nrole_session_name = me\n"

type Way = Callable[[dict[str, str], Path, pytest.MonkeyPatch], str]
"""Puts credentials into the place that it stands for, and returns the name that the error has to have."""


def config(folder: Path, text: str) -> None:
    (folder / "config").write_text(text, encoding="utf-8", errors="surrogateescape")


def lines(keys: dict[str, str]) -> str:
    return "".join(f"{SETTINGS[name]} = {value}\n" for name, value in keys.items())


def environment(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> str:
    for name, value in keys.items():
        patch.setenv(SETTINGS[name].upper(), value)
    config(folder, "[profile p]\nregion = eu-west-1\n")
    return "AWS_"


def of_a_client_s_role(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> str:
    return environment(keys, folder, patch)


def profile(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> str:
    config(folder, f"[profile p]\n{lines(keys)}")
    return "aws_.* of profile p"


def source_profile(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> str:
    config(folder, f"[profile q]\n{lines(keys)}{CHAINED}source_profile = q\n")
    return "aws_.* of profile q"


def program(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> str:
    output = {"Version": 1, **keys, "SessionToken": keys["Token"]}
    (folder / "keys.json").write_text(json.dumps(output))
    config(folder, f"[profile p]\ncredential_process = cat {folder / 'keys.json'}\n")
    return "credential_process of profile p"


def container(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> str:
    answer = json.dumps({**keys, "Expiration": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
    patch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/credentials")
    patch.setattr("botocore.utils.ContainerMetadataFetcher.retrieve_full_uri", lambda *_, **__: json.loads(answer))
    config(folder, "[default]\nregion = eu-west-1\n")
    patch.setenv("AWS_PROFILE", "default")
    return "container-role"


def cache(keys: dict[str, str], folder: Path, patch: pytest.MonkeyPatch) -> str:
    config(folder, f"[profile q]\naws_access_key_id = A\naws_secret_access_key = s\n{CHAINED}source_profile = q\n")
    ProfileCredentials("p").get_frozen_credentials()
    [file] = (folder / ".aws/cli/cache").iterdir()
    session = json.loads(file.read_text())
    session["Credentials"] |= {**keys, "SessionToken": keys["Token"]}
    file.write_text(json.dumps(session))
    return "assume-role"


IN_FILES = (profile, source_profile)
IN_VARIABLES = (environment, of_a_client_s_role)
WAYS: tuple[Way, ...] = (*IN_VARIABLES, *IN_FILES, program, container, cache)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "p")
    for name in SETTINGS.values():
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def label(value: object) -> str:
    return ascii(getattr(value, "__name__", value))


def can_hold(way: Way, bad: str) -> bool:
    return not (way in IN_FILES and {"\r", "\n"} & set(bad)) and not (way in IN_VARIABLES and bad == "\0")


@pytest.mark.parametrize(
    ("part", "way", "bad"),
    [(part, way, bad) for (way, bad), part in zip(product(WAYS, BAD), cycle(PARTS)) if can_hold(way, bad)],
    ids=label,
)
def test_malformed_credentials_are_refused_and_not_shown(
    way: Way,
    part: str,
    bad: str,
    folder: Path,
    sts: FakeSts,
    fake_api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    value = f"{SECRET}{bad}{SECRET}" if way in IN_FILES else f"{SECRET}{bad}"
    keys = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "well-formed", "Token": "well-formed"} | {part: value}
    where = way(keys, folder, monkeypatch)
    caplog.set_level(logging.DEBUG, "cross_account_api")

    role_arn = EXECUTOR_ROLE_ARN if way is of_a_client_s_role else None
    with pytest.raises(AssumeRoleError) as caught:
        Client(API_URL, role_arn=role_arn, transport=fake_api).get("/")

    error = caught.value
    if not (way in IN_FILES and bad == "\udc80"):  # then botocore cannot read the file
        assert error.code == "MalformedCredentials"
        assert re.search(where, str(error))
        assert "printable ASCII" in error.remedy
    written = shown(error) + caplog.text + "".join(capfd.readouterr()) + repr(error.__dict__)
    assert "HUNTER2" not in written
    assert fake_api.requests == []
    assert [request for request in sts.requests if "HUNTER2" in str(request)] == []


@pytest.mark.parametrize("part", range(3))
def test_credentials_that_a_program_gives_itself_are_checked_too(
    part: int, fake_api: FakeApi, credentials: FakeCredentials
) -> None:
    keys = ["A", "s", "t"]
    keys[part] = f"{SECRET}\n"
    credentials.session = ReadOnlyCredentials(*keys)
    client = Client(API_URL, credentials=credentials, transport=fake_api)

    for use in (
        lambda: client.get("/"),
        lambda: requests.Request("GET", API_URL, auth=client.auth).prepare(),
    ):
        with pytest.raises(AssumeRoleError, match="MalformedCredentials") as caught:
            use()
        assert "HUNTER2" not in shown(caught.value)


def test_a_malformed_token_of_sso_is_not_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed renewal is logged by botocore with its traceback."""
    start_url = "https://example.awsapps.com/start"
    config(
        folder,
        "[profile p]\nregion = eu-west-1\nsso_account_id = 222222222222\nsso_role_name = R\nsso_region = eu-west-1\n"
        f"sso_start_url = {start_url}\n",
    )
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(folder))
    token = {"accessToken": f"{SECRET}\r", "expiresAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    (folder / f"{hashlib.sha1(start_url.encode(), usedforsecurity=False).hexdigest()}.json").write_text(
        json.dumps(token)
    )

    with pytest.raises(AssumeRoleError, match="sso_bearer_token") as caught:
        ProfileCredentials("p").get_frozen_credentials()

    assert "HUNTER2" not in shown(caught.value) + caplog.text


@pytest.mark.parametrize(
    "quoted",
    [
        f"Invalid header value b'{SECRET}\\r'",
        f"'latin-1' codec can't encode character '{SECRET}' in position 3: ordinal not in range(256)",
        f"Failed to parse: http://me:{SECRET}@proxy.example.com:port",
    ],
)
def test_what_other_libraries_quote_is_not_shown(quoted: str) -> None:
    with pytest.raises(AssumeRoleError) as caught, assume_role_errors("profile p"):
        raise HTTPClientError(error=quoted)

    assert "HUNTER2" not in shown(caught.value) + caught.value.detail
    hidden = OSError("no credentials")
    hidden.__cause__ = ValueError(quoted)
    with pytest.raises(AssumeRoleError) as caught, assume_role_errors("profile p"):
        raise hidden
    assert "HUNTER2" not in shown(caught.value)
    assert "HUNTER2" not in one_line(quoted)


def test_what_an_api_echoes_is_not_shown(
    fake_api: FakeApi, credentials: FakeCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    session = ReadOnlyCredentials("ASIAEXAMPLE", f"{SECRET}-key", f"{SECRET}-token/+==")
    credentials.session = fake_api.sessions[session.token] = session
    credentials.renewable = False
    client = Client(API_URL, credentials=credentials, transport=fake_api)
    caplog.set_level(logging.DEBUG, "cross_account_api")

    for fake_api.rest in (
        refusal("AccessDeniedException", f"the token {session.token} of {session.secret_key} is odd\n{session.token}"),
        json_reply(400, {"error": {"code": str(session.token), "message": "no"}}),
    ):
        with pytest.raises(ApiError) as caught:
            client.get("/")
        written = shown(caught.value) + repr(caught.value.__dict__) + caplog.text
        assert "HUNTER2" not in written
        assert "(not shown)" in written


FAULTS: dict[str | None, str] = {
    "AKIA/+=": "",
    "": "is missing",
    None: "is missing",
    "a\r\n": "ends in a line end",
    " a": "begins with a blank",
    "a b": "holds a blank",
    '"a"': "begins with a quote",
    "a\0": "ends in a character other than printable ASCII",
}


def test_the_faults_of_a_credential() -> None:
    assert {value: describe_fault(value) for value in FAULTS} == FAULTS


def test_a_credential_is_printable_ascii_without_quotes() -> None:
    sendable = "".join(char for char in map(chr, range(0x3000)) if not describe_fault(f"a{char}b"))
    assert sendable == "".join(char for char in map(chr, range(0x21, 0x7F)) if char not in "\"'`")


def test_a_message_stays_a_message() -> None:
    assert find_fault(ReadOnlyCredentials("A", "s", None)) is None
    for text in ("short words stay: s", "User: arn:aws:sts::222222222222:assumed-role/x/jane@example.org is not"):
        assert one_line(text) == redact(text) == text
