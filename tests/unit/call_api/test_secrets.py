"""No credential reaches a terminal, whatever it holds and wherever it comes from; what cannot be sent is refused."""

import http.client
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, unreachable
from tests.unit.call_api.support import ME, FakeAws, run, said

SECRET = "x9Kp2vQ7LmRt4wZb8NcY"
"""In every part of the credentials, so that a test sees any of them."""

KEYS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{SECRET}",
    "AWS_SECRET_ACCESS_KEY": f"SECRET/{SECRET}",
    "AWS_SESSION_TOKEN": f"TOKEN/{SECRET}",
}
PASTED = dict(zip(KEYS, ("{}\x7f", '"{}"', "\u200b{}"), strict=True))
"""What comes with a part that is copied from a page or a file; tests/unit/client/test_redaction.py has more of it."""

ROLE = f"role_arn = {EXECUTOR_ROLE_ARN}\nrole_session_name = 222222222222-me\nexternal_id = abc\n"


def require_sendable(headers: Mapping[str, str]) -> None:
    """Raise as http.client does, which quotes the values that it refuses."""
    connection = http.client.HTTPConnection("192.0.2.1")
    connection.putrequest("GET", "/")
    for name, value in headers.items():
        connection.putheader(name, value)


class Unreachable:
    """Connections to an API that is not there."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def send(self, request: Any, _: object) -> Any:
        require_sendable(request.headers)
        raise unreachable()


# --- Where credentials come from: each returns the configuration, and what a message calls the wrong one --------------

type Keys = Mapping[str, str]


def environment(keys: Keys, wrong: str, home: Path) -> tuple[str, str]:
    return "[default]\nregion = eu-west-1\n", wrong


def credential_source(keys: Keys, wrong: str, home: Path) -> tuple[str, str]:
    return f"[default]\n{ROLE}credential_source = Environment\n", wrong


def profile(keys: Keys, wrong: str, home: Path) -> tuple[str, str]:
    text = "".join(f"{name.lower()} = {value}\n" for name, value in keys.items())
    return f"[default]\n{ROLE}source_profile = default\n{text}", f"{wrong.lower()} of profile default"


def credential_process(keys: Keys, wrong: str, home: Path) -> tuple[str, str]:
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    (home / "output").write_text(json.dumps({"Version": 1, **dict(zip(names, keys.values(), strict=True))}))
    text = f"[default]\ncredential_process = cat {home}/output\n"
    return text, "from the credential_process of profile default"


def sts(keys: Keys, wrong: str, home: Path) -> tuple[str, str]:
    return f"[default]\n{ROLE}source_profile = me\n{ME}", "MalformedCredentials"


type Source = Callable[[Keys, str, Path], tuple[str, str]]
SOURCES: tuple[Source, ...] = (environment, credential_source, profile, credential_process, sts)
CONFIGURE = [
    *("configure", "--profile", "new", "--role-arn", EXECUTOR_ROLE_ARN, "--external-id", "abc", "--api-url", API_URL),
    *("--role-session-name", "222222222222-me", "--yes"),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
@pytest.mark.parametrize("command", [["POST", "/x"], ["/x", "-v"], ["doctor", "/x", "--json"], CONFIGURE], ids=" ".join)
def test_a_credential_that_cannot_be_sent_is_refused_and_never_shown(
    source: Source, command: list[str], aws: FakeAws, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send(_: object, request: Any) -> Any:
        require_sendable(request.headers)
        return aws.send(request)

    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", send)
    for module in ("call_api.__main__", "call_api.facts"):
        monkeypatch.setattr(f"{module}.Connections", Unreachable)
    is_configure = command is CONFIGURE
    if is_configure:
        origin = ["--credential-source", "Environment"] if source is environment else ["--source-profile", "default"]
        command = [*command, *origin]
    for wrong, pasted in PASTED.items():
        keys = KEYS | {wrong: pasted.format(KEYS[wrong])}
        text, named = source(keys, wrong, tmp_path)
        config.write_text(text)
        aws.issued = tuple(keys.values())
        with monkeypatch.context() as now:
            for name, value in keys.items() if source in (environment, credential_source) else ():
                now.setenv(name, value)
            result = run(*command)

        what = f"{wrong} {pasted!r}: {said(result)}"
        assert SECRET not in said(result), what
        assert "MalformedCredentials" in said(result) or (source is sts and is_configure), what
        assert (named in said(result) and "Account B: correct it" in said(result)) or is_configure, what
        assert result.exit_code == {"doctor": 1, "configure": 0}.get(command[0], 3), what
