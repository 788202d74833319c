"""`call-api configure`: what it asks, what it refuses, and what it changes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectTimeoutError
from click.testing import CliRunner, Result

from call_api.__main__ import main
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN

GIVEN = {
    "--role-arn": EXECUTOR_ROLE_ARN,
    "--source-profile": "me",
    "--external-id": "orders-7f3c9a51",
    "--role-session-name": "222222222222-my-user",
    "--mfa-serial": "arn:aws:iam::222222222222:mfa/my-user",
    "--api-url": API_URL,
    "--region": "eu-west-1",
}
OWN = "[profile me]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\nregion = eu-west-1\n"
PROFILE = f"""\
[profile orders]
role_arn = {EXECUTOR_ROLE_ARN}
source_profile = me
external_id = orders-7f3c9a51
role_session_name = 222222222222-my-user
mfa_serial = arn:aws:iam::222222222222:mfa/my-user
api_url = {API_URL}
region = eu-west-1
"""


class Raw(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


class Sts:
    """Answers who asks, or not at all."""

    def __init__(self) -> None:
        self.arn = "arn:aws:iam::222222222222:user/staff/my-user"
        self.is_there = True

    def send(self, request: Any) -> AWSResponse:
        assert "Action=GetCallerIdentity" in request.body
        if not self.is_there:
            raise ConnectTimeoutError(endpoint_url=request.url)
        body = (
            f"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{self.arn}</Arn><Account>222222222222</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )
        return AWSResponse(request.url, 200, HTTPHeaders(), Raw(body.encode()))


@pytest.fixture(autouse=True)
def sts(monkeypatch: pytest.MonkeyPatch) -> Sts:
    sts = Sts()
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lambda _, request: sts.send(request))
    return sts


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    path.write_text(OWN)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


def configure(*arguments: str, text: str = "", **changes: str | None) -> Result:
    given = GIVEN | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    options = [word for name, value in given.items() if value is not None for word in (name, value)]
    return CliRunner(mix_stderr=False).invoke(main, ["configure", *options, *arguments], input=text)


def test_what_is_given_is_not_asked_for_and_the_change_is_shown_first(config: Path) -> None:
    result = configure(text="y\n")

    assert result.exit_code == 0
    assert config.read_text() == f"{OWN}\n{PROFILE}"
    assert [line[1:] for line in result.stdout.splitlines() if re.match(r"\+[^+]", line)] == PROFILE.splitlines()
    assert result.stderr.startswith(f"Change {config}? [y/N]:")


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_changed(config: Path, answer: str) -> None:
    result = configure(text=answer)

    assert result.exit_code == 1
    assert config.read_text() == OWN
    assert list(config.parent.iterdir()) == [config]


def test_yes_in_advance(config: Path) -> None:
    result = configure("--yes")

    assert result.exit_code == 0
    assert config.read_text() == f"{OWN}\n{PROFILE}"
    [backup] = config.parent.glob("config.*.bak")
    assert backup.read_text() == OWN
    assert result.stdout.splitlines()[-1] == (f"Wrote {config}, kept {backup}. Next: call-api doctor --profile orders")


def test_the_second_time_there_is_nothing_to_change(config: Path) -> None:
    configure("--yes")

    assert configure().stdout == f"{config} says so already.\n"


def test_print_changes_no_file(config: Path) -> None:
    result = configure("--print")

    assert (result.exit_code, result.stdout, result.stderr) == (0, PROFILE, "")
    assert config.read_text() == OWN


def test_an_empty_answer_takes_mfa_away(config: Path) -> None:
    configure("--yes")
    configure("--yes", mfa_serial="")

    assert "mfa_serial" not in config.read_text()


def test_what_the_profile_has_is_proposed(config: Path) -> None:
    configure("--yes")
    nothing = dict.fromkeys(name.removeprefix("--").replace("-", "_") for name in GIVEN)

    result = configure("--print", text="\n" * 7, **nothing)

    assert result.stdout.endswith(f"\n{PROFILE}"), "after the answers, which the runner shows"
    assert f"[{EXECUTOR_ROLE_ARN}]" in result.stderr


def test_session_name_and_region_are_found_out() -> None:
    result = configure("--print", text="\n\n", role_session_name=None, region=None)

    assert result.stdout.endswith(f"\n{PROFILE}"), "after the answers, which the runner shows"
    assert "[222222222222-my-user]" in result.stderr
    assert "Region of the API [eu-west-1]" in result.stderr


def test_a_long_name_is_cut_at_what_sts_allows(sts: Sts) -> None:
    sts.arn = f"arn:aws:iam::222222222222:user/{'x' * 64}"

    result = configure("--print", text="\n", role_session_name=None)

    assert f"role_session_name = 222222222222-{'x' * 51}\n" in result.stdout


def test_without_an_answer_of_sts_the_session_name_is_asked_for(sts: Sts) -> None:
    sts.is_there = False

    result = configure("--print", text="my-user\n222222222222-my-user\n", role_session_name=None)

    assert result.stdout.endswith(f"\n{PROFILE}"), "after the answers, which the runner shows"
    assert "Whose credentials profile me has could not be found out: Connect timeout" in result.stderr
    assert "'my-user' is not <account id>-<user>" in result.stderr


def test_a_wrong_answer_is_asked_for_again() -> None:
    result = configure("--print", text=f"orders\n{EXECUTOR_ROLE_ARN}\n", role_arn=None)

    assert result.stdout.endswith(f"\n{PROFILE}"), "after the answers, which the runner shows"
    assert "Error: 'orders' is not arn:aws:iam::<account A>:role/<name>." in result.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role_arn": "arn:aws:sts::111111111111:assumed-role/a/b"}, "is not arn:aws:iam::<account A>:role/<name>"),
        ({"external_id": "a b"}, "'a b' is not 2 to 1224 letters"),
        ({"source_profile": "a]\nb"}, "is not letters, digits or"),
        ({"profile": "x]\n[default"}, "is not letters, digits or"),
        ({"role_session_name": "my-user"}, "account A's trust policy binds it"),
        ({"role_session_name": "333333333333-my-user"}, "'333333333333-my-user' is not 222222222222-<user>"),
        ({"role_session_name": "222222222222-"}, "account A's trust policy binds it"),
        ({"mfa_serial": "a b c d e f"}, "is not arn:aws:iam::<account id>:mfa/<device>"),
        ({"api_url": "http://example.com"}, "API_URL is 'http://example.com'"),
        ({"region": "here"}, "'here' is not a region"),
    ],
)
def test_a_wrong_option_is_refused(config: Path, changes: dict[str, str], message: str) -> None:
    result = configure("--yes", **changes)

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert config.read_text() == OWN


def test_a_configuration_that_is_broken_is_left_alone(config: Path) -> None:
    config.write_text("[profile a]\n[profile a]\n")

    result = configure("--yes")

    assert result.exit_code == 1
    assert "Account B: mend the AWS configuration first." in result.stderr
    assert config.read_text() == "[profile a]\n[profile a]\n"


def test_a_folder_that_cannot_be_written_to(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{config}/config")

    result = configure("--yes")

    assert result.exit_code == 1
    assert f"Cannot read {config}/config: Not a directory." in result.stderr
