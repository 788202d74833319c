"""`call-api configure`: what it asks, what it refuses, and what it changes."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.configloader import load_config
from botocore.exceptions import ConnectTimeoutError
from click.testing import CliRunner, Result

from call_api.__main__ import main
from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN

MFA_SERIAL = "arn:aws:iam::222222222222:mfa/my-user"
SESSION = "arn:aws:sts::222222222222:assumed-role"
GIVEN = {
    "--role-arn": EXECUTOR_ROLE_ARN,
    "--source-profile": "me",
    "--external-id": "orders-7f3c9a51",
    "--role-session-name": "222222222222-my-user",
    "--mfa-serial": MFA_SERIAL,
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
mfa_serial = {MFA_SERIAL}
api_url = {API_URL}
region = eu-west-1
"""


class Raw(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


class Sts:
    """Responds with who asks, or not at all."""

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
    monkeypatch.setenv("HOME", str(tmp_path))
    return path


def configure(*arguments: str, text: str = "", without: Collection[str] = (), **changes: str | None) -> Result:
    changes |= dict.fromkeys(without)
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
    backup = config.with_name("config.call-api.bak")
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

    result = configure(text="\n" * 7, without=NOTHING)

    assert result.stdout.endswith(f"{config} says so already.\n")
    assert f"[{EXECUTOR_ROLE_ARN}]" in result.stderr


NOTHING = [name.removeprefix("--").replace("-", "_") for name in GIVEN]


@pytest.mark.parametrize("option", ["--yes", "--print"])
def test_nothing_is_asked_that_has_an_answer(config: Path, option: str) -> None:
    config.write_text(OWN.replace("profile me", "default"))

    result = configure(option, without=["role_session_name", "mfa_serial", "region", "source_profile"])

    assert (result.exit_code, result.stderr) == (0, "")
    text = result.stdout if option == "--print" else config.read_text()
    assert text.endswith(
        PROFILE.replace("source_profile = me", "source_profile = default").replace(f"mfa_serial = {MFA_SERIAL}\n", "")
    )


@pytest.mark.parametrize("name", ["role_arn", "external_id", "api_url"])
def test_in_silence_a_missing_option_is_an_error(config: Path, name: str) -> None:
    result = configure("--yes", without=[name])

    assert result.exit_code == 2
    assert f"Missing option '--{name.replace('_', '-')}'." in result.stderr
    assert config.read_text() == OWN


def test_session_name_and_region_are_found_out() -> None:
    result = configure(text="\n\nn\n", role_session_name=None, region=None)

    assert "[222222222222-my-user]" in result.stderr
    assert "Region of the API [eu-west-1]" in result.stderr


@pytest.mark.parametrize(
    ("arn", "name", "asks_for_mfa"),
    [
        ("arn:aws:iam::222222222222:user/staff/my-user", "222222222222-my-user", True),
        (f"{SESSION}/AWSReservedSSO_Dev_0123456789abcdef/jane@example.org", "222222222222-jane@example.org", False),
        (f"{SESSION}/ecs-task/0123456789abcdef0123456789abcdef", "222222222222-ecs-task", False),
    ],
)
def test_the_session_is_named_after_the_person_or_the_role(sts: Sts, arn: str, name: str, asks_for_mfa: bool) -> None:
    sts.arn = arn

    result = configure(text="\n\nn\n", role_session_name=None, mfa_serial=None)

    assert f"Session name (<account id>-<name>) [{name}]:" in result.stderr
    assert ("TOTP" in result.stderr) is asks_for_mfa


def test_no_name_is_proposed_for_the_root_user(sts: Sts) -> None:
    sts.arn = "arn:aws:iam::222222222222:root"

    assert "Missing option '--role-session-name'" in configure("--print", role_session_name=None).stderr
    assert "Session name (<account id>-<name>):" in configure(text="222222222222-x\nn\n", role_session_name=None).stderr


SSO = """
[sso-session company]
sso_region = eu-west-1
sso_start_url = https://company.awsapps.com/start

[profile sso-jane]
sso_session = company
sso_account_id = 222222222222
sso_role_name = Dev
"""


def test_a_person_of_identity_center(config: Path) -> None:
    config.write_text(SSO)

    result = configure("--yes", "--sso-session", "company", source_profile=None, mfa_serial=None)

    assert result.exit_code == 0, result.stderr
    assert "source_profile = sso-jane\n" in config.read_text()
    assert "mfa_serial" not in config.read_text()
    assert "aws sso login --profile sso-jane" in result.stderr, "the session name was given, so that this is no error"


@pytest.mark.parametrize(
    ("more", "options", "words"),
    [
        ("", ["--sso-session", "other"], "No profile has sso_session = other; aws configure sso writes one."),
        ("[profile sso-b]\nsso_session = company\n", ["--sso-session", "company"], "sso-jane, sso-b"),
        ("", ["--sso-session", "company", "--credential-source", "Environment"], "excludes"),
    ],
)
def test_an_ambiguous_source_is_refused(config: Path, more: str, options: list[str], words: str) -> None:
    config.write_text(SSO + more)

    result = configure("--yes", *options, source_profile=None)

    assert result.exit_code == 2
    assert words in result.stderr


def test_a_machine_takes_the_credentials_that_it_has(config: Path, sts: Sts) -> None:
    sts.arn = f"{SESSION}/ci/run-1"

    result = configure(
        "--yes", "--credential-source", "Environment", source_profile=None, role_session_name=None, mfa_serial=None
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert "credential_source = Environment\n" in config.read_text()
    assert "source_profile" not in config.read_text()
    assert "role_session_name = 222222222222-ci\n" in config.read_text()


def test_rival_settings_are_removed_and_shown(config: Path) -> None:
    rivals = [
        "credential_source = Environment",
        "web_identity_token_file = /token",
        "credential_process = /opt/creds",
        "sso_session = company",
        "sso_account_id = 222222222222",
        "sso_role_name = Dev",
    ]
    config.write_text("\n".join([OWN, "[profile orders]", *rivals, "output = text", ""]))

    result = configure("--yes")

    assert result.exit_code == 0
    assert {f"-{line}" for line in rivals} <= set(result.stdout.splitlines())
    assert not any(line in config.read_text() for line in rivals)
    assert "output = text" in config.read_text()


def test_a_profile_may_have_its_own_keys_as_source(config: Path) -> None:
    config.write_text(OWN.replace("profile me", "profile orders"))

    result = configure("--yes", source_profile="orders", role_session_name=None)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "role_session_name = 222222222222-my-user" in config.read_text()
    assert "aws_secret_access_key = secret" in config.read_text()


def test_it_warns_of_the_credentials_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[orders]\nrole_arn = arn:aws:iam::999999999999:role/old\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))

    result = configure("--yes")

    assert f"Warning: [orders] in {credentials} overrides role_arn. Remove it there." in result.stderr


def test_names_with_spaces_are_quoted(config: Path) -> None:
    config.write_text(OWN.replace("profile me", 'profile "my user"'))

    result = configure("--yes", profile="my orders", source_profile="my user", role_session_name=None)

    assert (result.exit_code, result.stderr) == (0, "")
    assert '[profile "my orders"]' in config.read_text()
    assert "source_profile = my user\n" in config.read_text()
    assert load_config(str(config))["profiles"]["my orders"]["source_profile"] == "my user"
    assert result.stdout.endswith('call-api doctor --profile "my orders"\n')


def test_a_path_for_doctor(config: Path) -> None:
    configure("--yes", api_path="/whoami")
    configure("--yes")

    assert "api_path = /whoami\n" in config.read_text()


def test_a_role_of_others_may_have_any_session_name(config: Path) -> None:
    result = configure("--yes", role_arn="arn:aws:iam::111111111111:role/partner-api", role_session_name="jane")

    assert (result.exit_code, result.stderr) == (0, "")


def test_a_profile_that_the_environment_names_need_not_exist_yet(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "orders")

    result = configure("--yes", "--credential-source", "Environment", source_profile=None, role_session_name=None)

    assert (result.exit_code, result.stderr) == (0, "")


def test_a_long_name_is_cut_at_what_sts_allows(sts: Sts) -> None:
    sts.arn = f"arn:aws:iam::222222222222:user/{'x' * 64}"

    result = configure("--print", role_session_name=None)

    assert f"role_session_name = 222222222222-{'x' * 51}\n" in result.stdout


def test_without_a_response_of_sts_the_session_name_is_asked_for(sts: Sts) -> None:
    sts.is_there = False

    result = configure(text="my-user\n222222222222-my-user\ny\n", role_session_name=None)

    assert result.exit_code == 0
    assert "Warning: the caller could not be identified. No credentials from profile me: Connect" in result.stderr
    assert "'my-user' is not <account id>-<name>" in result.stderr


def test_a_wrong_answer_is_asked_for_again(config: Path) -> None:
    result = configure(text=f"orders\n{EXECUTOR_ROLE_ARN}\ny\n", role_arn=None)

    assert result.exit_code == 0
    assert config.read_text() == f"{OWN}\n{PROFILE}"
    assert "Error: 'orders' is not a role's ARN: arn:aws:iam::<account A>:role/<name>." in result.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"role_arn": "arn:aws:sts::111111111111:assumed-role/a/b"},
            "is not a role's ARN: arn:aws:iam::<account A>:role/<name>",
        ),
        ({"external_id": "a b"}, "'a b' is not 2 to 1224 letters"),
        ({"source_profile": "a]\nb"}, "is not letters, digits or"),
        ({"profile": "x]\n[default"}, "is not letters, digits or"),
        ({"role_session_name": "my-user"}, "account A's trust policy binds it"),
        ({"role_session_name": "333333333333-my-user"}, "'333333333333-my-user' is not 222222222222-<name>"),
        ({"role_session_name": "222222222222-"}, "account A's trust policy binds it"),
        ({"mfa_serial": "a b c d e f"}, "is not arn:aws:iam::<account id>:mfa/<device>"),
        ({"api_url": "http://example.com"}, "api_url is 'http://example.com'"),
        ({"region": "here"}, "'here' is not a region"),
        ({"api_path": "whoami"}, "path is 'whoami'"),
        ({"api_path": "C:/Git/whoami"}, "Git Bash makes a Windows path"),
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
    assert f"{config}, line 2, cannot be read." in result.stderr
    assert "Account B: correct this file." in result.stderr
    assert config.read_text() == "[profile a]\n[profile a]\n"


def test_a_folder_that_cannot_be_written_to(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{config}/config")

    result = configure("--yes")

    assert result.exit_code == 1
    assert f"Cannot read {config}/config: Not a directory." in result.stderr
