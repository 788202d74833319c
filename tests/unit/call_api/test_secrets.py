"""No credential reaches a terminal, whatever it holds and wherever it comes from; what cannot be sent is refused."""

from __future__ import annotations

import http.client
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from click.testing import CliRunner

from call_api.__main__ import main
from cross_account_lab.judge import sigv4
from cross_account_lab.judge.sts import assume_role_response, caller_identity_response
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, unreachable

SECRET = "x9Kp2vQ7LmRt4wZb8NcY"
"""In every part of the credentials, so that a test sees any of them."""

KEYS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{SECRET}",
    "AWS_SECRET_ACCESS_KEY": f"SECRET/{SECRET}",
    "AWS_SESSION_TOKEN": f"TOKEN/{SECRET}",
}
PASTED = ("{}\r", "{}\n", "{}\r\n", "{}\0", "\n{}", "{} ", "\t{}", '"{}"', "'{}'", "{}é", "\u201c{}\u201d", "\u200b{}")
"""What a header cannot hold, and what comes with a secret that is copied from a page or a file."""

ROLE = f"role_arn = {EXECUTOR_ROLE_ARN}\nrole_session_name = 222222222222-me\nexternal_id = abc\n"


class Raw(io.BytesIO):
    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


@dataclass
class World:
    """A home, an environment, and an STS that issues what it is told to."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    issued: tuple[str, ...] = ()

    def configure(self, text: str) -> None:
        (self.home / ".aws").mkdir(exist_ok=True)
        (self.home / ".aws/config").write_text(text)

    def send(self, request: Any) -> AWSResponse:
        require_sendable(request.headers)
        response = caller_identity_response("222222222222", "user/me")
        if "Action=AssumeRole" in request.body:
            key, secret, token = self.issued
            expiration = datetime.now(UTC) + timedelta(hours=1)
            response = assume_role_response(key, sigv4.Credentials(secret, token), "222222222222-me", expiration)
        return AWSResponse(request.url, 200, HTTPHeaders.from_pairs(response.headers.items()), Raw(response.body))


class Unreachable:
    """Connections to an API that is not there."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def send(self, request: Any, _: object) -> Any:
        require_sendable(request.headers)
        raise unreachable()


def require_sendable(headers: Mapping[str, str]) -> None:
    """Raise as http.client does, which quotes the values that it refuses."""
    connection = http.client.HTTPConnection("192.0.2.1")
    connection.putrequest("GET", "/")
    for name, value in headers.items():
        connection.putheader(name, value)


# --- Where credentials come from: each returns what a message calls the wrong one -------------------------------------


def environment(world: World, keys: Mapping[str, str], wrong: str) -> str:
    world.environment = keys
    world.configure("[default]\nregion = eu-west-1\n")
    return wrong


def credential_source(world: World, keys: Mapping[str, str], wrong: str) -> str:
    world.environment = keys
    world.configure(f"[default]\n{ROLE}credential_source = Environment\n")
    return wrong


def profile(world: World, keys: Mapping[str, str], wrong: str) -> str:
    text = "".join(f"{name.lower()} = {value}\n" for name, value in keys.items())
    world.configure(f"[default]\n{ROLE}source_profile = default\n{text}")
    return f"{wrong.lower()} of profile default"


def credential_process(world: World, keys: Mapping[str, str], wrong: str) -> str:
    key, secret, token = keys.values()
    output = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token}
    (world.home / "output").write_text(json.dumps(output))
    world.configure(f"[default]\ncredential_process = cat {world.home}/output\n")
    return "from the credential_process of profile default"


def sts(world: World, keys: Mapping[str, str], wrong: str) -> str:
    world.issued = tuple(keys.values())
    world.configure(f"[default]\n{ROLE}source_profile = me\n[profile me]\n" + SENDABLE)
    return "MalformedCredentials"


SENDABLE = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\n"
SOURCES: tuple[Callable[[World, Mapping[str, str], str], str], ...] = (
    environment,
    credential_source,
    profile,
    credential_process,
    sts,
)
CONFIGURE = [
    *("configure", "--profile", "new", "--role-arn", EXECUTOR_ROLE_ARN, "--external-id", "abc", "--api-url", API_URL),
    *("--role-session-name", "222222222222-me", "--yes"),
]


def passes(source: object, value: str) -> bool:
    """Whether a value gets through: a variable has no NUL, and lines of a file have no blanks at their ends."""
    if source is profile:
        return value == value.strip() and "\0" not in value
    return "\0" not in value or source not in (environment, credential_source)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
@pytest.mark.parametrize("command", [["POST", "/x"], ["/x", "-v"], ["doctor", "/x", "--json"], CONFIGURE], ids=" ".join)
def test_a_credential_that_cannot_be_sent_is_refused_and_never_shown(
    source: Callable[[World, Mapping[str, str], str], str],
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    base = {"HOME": str(tmp_path), "AWS_REGION": "eu-west-1", "API_URL": API_URL, "AWS_EC2_METADATA_DISABLED": "true"}
    monkeypatch.setattr("call_api.__main__.Connections", Unreachable)
    monkeypatch.setattr("call_api.facts.Connections", Unreachable)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("192.0.2.7", 443))])
    if command is CONFIGURE:
        command = [*command, *(["--credential-source", "Environment"] if source is environment else [])]
        command += [] if source is environment else ["--source-profile", "default"]
    cases = [(name, pasted) for name in KEYS for pasted in PASTED]
    if source is not environment:  # whose every case is tried; elsewhere, each character and each part
        cases = [(list(KEYS)[number % 3], pasted) for number, pasted in enumerate(PASTED)]
    judged = 0
    for wrong, pasted in cases:
        keys = KEYS | {wrong: pasted.format(KEYS[wrong])}
        if not passes(source, keys[wrong]):
            continue
        world = World(tmp_path)
        named = source(world, keys, wrong)
        with monkeypatch.context() as now:
            now.setattr("botocore.httpsession.URLLib3Session.send", lambda _, request, to=world: to.send(request))
            for name, value in {**base, **world.environment}.items():
                now.setenv(name, value)
            result = CliRunner(mix_stderr=False).invoke(main, command)

        what = f"{wrong} {pasted!r}: {result.stdout}{result.stderr}"
        said = " ".join(f"{result.stdout} {result.stderr}".split())
        assert result.exception is None or isinstance(result.exception, SystemExit), what
        assert SECRET not in said, what
        assert "MalformedCredentials" in said or (source is sts and "configure" in command), what
        assert named in said or "configure" in command, what
        assert "Account B: correct it" in said or "configure" in command, what
        assert result.exit_code == {"doctor": 1, "configure": 0}.get(command[0], 3), what
        judged += 1
    assert judged >= (4 if source is profile else 10)
