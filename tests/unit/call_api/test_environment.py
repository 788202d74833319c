"""Every fault of profiles, credential programs, proxies, terminals and locales is named, without a traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cross_account_api.transport import Connections
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN, unreachable
from tests.unit.call_api.support import FakeAws, run, said

KEYS = "aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = not-shown\n"
ROLE = f"[profile p]\nrole_arn = {EXECUTOR_ROLE_ARN}\nrole_session_name = 222222222222-me\nregion = eu-west-1\n"
OF_Q = f"{ROLE}source_profile = q\n[profile q]\n"
DIRECT = f"[profile p]\n{KEYS}region = eu-west-1\n"
SSO = "sso_session = company\nsso_account_id = 222222222222\nsso_role_name = Dev\n"
COMPANY = "[sso-session company]\nsso_region = eu-west-1\nsso_start_url = https://company.awsapps.com/start\n"
EXPIRED = (
    '{"Version":1,"AccessKeyId":"ASIAX","SecretAccessKey":"b","SessionToken":"c","Expiration":"2020-01-01T00:00:00Z"}'
)
SESSION_KEYS = KEYS.replace("AKIA", "ASIA")
CONTAINER = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.org/x"}


@dataclass(frozen=True)
class Case:
    """What is wrong, and what a person has to read.

    Attributes:
        config: The configuration file; its profile `p` is used.
        words: Words of the advice.
        code: Exit code of a call.
        environment: Environment variables.
        configured: Whether `configure` can find no fault, since it asks less than a call does.
        without_crt: Whether botocore is installed without its extra `crt`.
    """

    config: str
    words: str
    code: int = 3
    environment: Mapping[str, str] = field(default_factory=dict)
    configured: bool = False
    without_crt: bool = False


CASES = {
    "no such program": Case("[profile p]\ncredential_process = /opt/none/creds\n", "credential_process failed"),
    "a program without JSON": Case("[profile p]\ncredential_process = echo hello\n", "its output must be JSON"),
    "a program that fails": Case("[profile p]\ncredential_process = ls /none\n", "credential_process failed"),
    "a program with other JSON": Case("[profile p]\ncredential_process = echo [1]\n", "credential_process failed"),
    "a program without quotes": Case("[profile p]\ncredential_process = echo 'a\n", "credential_process failed"),
    "a program with an expired session": Case(
        f"[profile p]\ncredential_process = echo '{EXPIRED}'\n", "credential_process failed"
    ),
    "no web identity token": Case(f"{ROLE}web_identity_token_file = /none/token\n", "this file must be readable"),
    "an empty web identity token": Case(f"{ROLE}web_identity_token_file = /dev/null\n", "has no token in it"),
    "container credentials from elsewhere": Case(
        "[profile p]\nregion = eu-west-1\n", "AWS_CONTAINER_CREDENTIALS_FULL_URI must be", environment=CONTAINER
    ),
    "no container": Case(f"{ROLE}credential_source = EcsContainer\n", "gives no credentials"),
    "no instance": Case(f"{ROLE}credential_source = Ec2InstanceMetadata\n", "gives no credentials"),
    "nothing in the environment": Case(f"{ROLE}credential_source = Environment\n", "gives no credentials"),
    "no such credential source": Case(f"{ROLE}credential_source = Cloud\n", "correct the profile"),
    "two sources": Case(
        f"{ROLE}source_profile = q\ncredential_source = Environment\n[profile q]\n{KEYS}",
        "correct the profile",
        configured=True,
    ),
    "no source": Case(ROLE, "complete the profile"),
    "a source without credentials": Case(f"{OF_Q}region = eu-west-1\n", "correct the profile"),
    "no such source": Case(f"{ROLE}source_profile = nope\n", "correct the profile"),
    "profiles in a circle": Case(f"{OF_Q}{ROLE.partition('\n')[2]}source_profile = p\n", "correct the profile"),
    "no such profile": Case("[profile q]\n", "name a profile of your AWS configuration"),
    "a typo in the profile's name": Case("[profile pp]\n", "writes one. Did you mean pp?"),
    "no secret key": Case("[profile p]\naws_access_key_id = AKIAEXAMPLE\n", "complete the profile"),
    "no session token": Case(f"[profile p]\n{SESSION_KEYS}", "set AWS_SESSION_TOKEN or aws_session_token"),
    "no session token in the environment": Case(
        f"{ROLE}credential_source = Environment\n",
        "set AWS_SESSION_TOKEN",
        environment={"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"},
    ),
    "a pasted secret key": Case(f"{OF_Q}{KEYS.replace('not-shown', '"not-shown"')}", "correct it: printable ASCII"),
    "a secret key with a line end": Case(
        f"{ROLE}credential_source = Environment\n",
        "AWS_SECRET_ACCESS_KEY ends in a line end. Account B: correct it",
        environment={"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-shown\r"},
    ),
    "not signed in": Case(f"{COMPANY}[profile p]\n{SSO}", "aws sso login --profile p"),
    "the source is not signed in": Case(f"{COMPANY}{OF_Q}{SSO}", "aws sso login --profile q"),
    "not signed in, the old way": Case(
        "[profile p]\nsso_start_url = https://x\nsso_region = eu-west-1\nsso_account_id = 222222222222\n"
        "sso_role_name = Dev\n",
        "aws sso login --profile p",
    ),
    "not signed in to the console": Case(
        "[profile p]\nlogin_session = arn:aws:iam::222222222222:user/me\nregion = eu-west-1\n",
        "aws login --profile p",
    ),
    "a way to sign in that needs one more package": Case(
        "[profile p]\nlogin_session = arn:aws:iam::222222222222:user/me\nregion = eu-west-1\n",
        'this way to sign in needs one more package: pip install "botocore[crt]"',
        without_crt=True,
    ),
    "no such Identity Center session": Case(f"[profile p]\n{SSO}", "correct the profile"),
    "a section twice": Case("[profile p]\n[profile p]\n", "line 2, cannot be read. Account B: correct this file."),
    "no section": Case("region = eu-west-1\n", "line 1, cannot be read."),
    "an invalid line": Case("[profile p]\naws_secret_access_key not-shown\n", "line 2, cannot be read."),
    "an invalid nested line": Case("[profile p]\ns3 =\n  not-shown\n", "cannot be read. Account B: correct"),
    "not UTF-8": Case("[profile p]\n# M\udcfcller\n", "cannot be read. Account B: correct this file."),
    "an empty region for STS": Case(
        f"{OF_Q.replace('region = eu-west-1', '')}{KEYS}",
        "set AWS_REGION, or region in the profile",
        environment={"AWS_REGION": "", "AWS_DEFAULT_REGION": ""},
    ),
    "an endpoint without a scheme": Case(
        f"{OF_Q}{KEYS}",
        "must be a URL with https://",
        environment={"AWS_ENDPOINT_URL_STS": "sts.example.org"},
    ),
    "STS does not respond": Case(f"{OF_Q}{KEYS}", "STS must be reachable from here"),
    "a proxy whose password is not ASCII": Case(
        DIRECT,
        "user and password must be percent-encoded ASCII",
        2,
        environment={"HTTPS_PROXY": "http://u:p%C5%82@127.0.0.1:9"},
        configured=True,
    ),
    "an invalid proxy": Case(DIRECT, "HTTPS_PROXY", 2, {"HTTPS_PROXY": "http://[::1"}, configured=True),
    "no CA certificates": Case(f"{DIRECT}ca_bundle = /none.pem\n", "ca_bundle", 2, configured=True),
    "a nested URL": Case(
        f"[profile p]\n{KEYS}api_url =\n  a = b\napi_ignores_idempotency_keys =\n  a = b\n",
        "Set --api-url or $API_URL",
        2,
        {"API_URL": ""},
        configured=True,
    ),
    "no URL": Case(f"[profile p]\n{KEYS}", "Set --api-url or $API_URL", 2, {"API_URL": ""}, configured=True),
}


@pytest.fixture(autouse=True)
def no_network(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> Any:
        raise unreachable()

    aws.is_down = True
    for module in ("call_api.__main__", "call_api.facts"):
        monkeypatch.setattr(f"{module}.Connections", Connections)
    monkeypatch.setattr(Connections, "send", connect)


@pytest.mark.parametrize("name", CASES)
def test_it_is_named(name: str, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a call, by doctor and by configure."""
    case = CASES[name]
    config.write_bytes(case.config.encode("utf-8", "surrogateescape"))
    for variable, value in case.environment.items():
        monkeypatch.setenv(variable, value)
    if case.without_crt:
        monkeypatch.setattr("botocore.credentials.EC", None)

    called = run("/whoami", "--profile", "p")
    report = run("doctor", "/whoami", "--profile", "p", "--json")
    options = ["--role-arn", EXECUTOR_ROLE_ARN, "--external-id", "abc", "--api-url", API_URL, "--mfa-serial", ""]
    source = ["--source-profile", "p", "--role-session-name", "222222222222-me"]
    configured = run("configure", "--profile", "new", *options, *source, "--yes")

    assert case.words in said(called)
    assert called.exit_code == case.code
    assert ("STS must be reachable" in called.stderr) is ("reachable" in case.words)
    failed = [step for step in json.loads(report.stdout)["steps"] if step["status"] == "failed"]
    assert report.exit_code == 1
    assert any(case.words in f"{step['observed']} {step['remedy']}" for step in failed), failed
    assert case.configured or case.words in " ".join(configured.stderr.split())
    assert configured.exit_code == (1 if "cannot be read" in case.words else 0)
    for secret in ("not-shown", "p%C5%82"):
        assert secret not in said(called) + said(report) + said(configured)


@pytest.mark.parametrize("arguments", [["/whoami"], ["doctor"]])
def test_a_profile_without_a_name(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "")

    result = run(*arguments)

    assert result.exit_code == (1 if arguments == ["doctor"] else 3)
    assert "AWS_PROFILE is set but empty; unset it." in said(result)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["/whoami"], 3, "set AWS_PROFILE"),
        (["doctor"], 1, "set AWS_PROFILE"),
        (["configure", "--yes"], 1, "Error: There is no home directory. Set HOME or AWS_CONFIG_FILE."),
    ],
)
def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str) -> None:
    def nobody(_: int) -> Any:
        raise KeyError("uid not found")

    for name in ("HOME", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", nobody)

    result = run(*arguments)

    assert (result.exit_code, words in said(result)) == (code, True)


# --- Standard streams and locales of a process ------------------------------------------------------------------------

MFA = f"[profile q]\n{KEYS}{ROLE}source_profile = q\nmfa_serial = arn:aws:iam::222222222222:mfa/me\n"


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        ("/whoami --profile p <&-", 3, b"nobody could be asked for the MFA code; run it in a terminal"),
        ("Gr\u00fc\u00dfe\u2615", 2, b"Error: path is 'Gr"),
    ],
)
def test_a_process_without_a_terminal_and_utf_8(config: Path, arguments: str, code: int, shown: bytes) -> None:
    config.write_text(MFA)
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m call_api {arguments}"],
        env=os.environ | locale,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        timeout=600,
        check=False,
    )

    assert (done.returncode, shown in done.stderr) == (code, True), done.stderr
    assert not [words for words in (b"Traceback", b"getpass.py", b"Error: .") if words in done.stderr]


def test_help_in_any_locale() -> None:
    for arguments in (["--help"], ["configure", "--help"], ["doctor", "--help"], ["doctor"]):
        assert run(*arguments, charset="ascii").exit_code in (0, 1)
