"""`call-api configure`: what it asks, what it refuses, and what it changes."""

import re
from collections.abc import Collection
from pathlib import Path

import pytest
from botocore.configloader import load_config
from click.testing import Result

from tests.support.fakes import API_URL, EXECUTOR_ROLE_ARN
from tests.unit.call_api.support import ME, MFA_SERIAL, SESSION, FakeAws, run

GIVEN = {
    "role_arn": EXECUTOR_ROLE_ARN,
    "source_profile": "me",
    "external_id": "orders-7f3c9a51",
    "role_session_name": "222222222222-my-user",
    "mfa_serial": MFA_SERIAL,
    "api_url": API_URL,
    "region": "eu-west-1",
}
PROFILE = "[profile orders]\n" + "".join(f"{name} = {value}\n" for name, value in GIVEN.items())
KEYS = ME.partition("\n")[2]
SSO = """
[sso-session company]
sso_region = eu-west-1
sso_start_url = https://company.awsapps.com/start

[profile sso-jane]
sso_session = company
sso_account_id = 222222222222
sso_role_name = Dev
"""
OTHERS_ROLE = "arn:aws:iam::111111111111:role/partner-api"


@pytest.fixture(autouse=True)
def only_me(config: Path) -> None:
    config.write_text(ME)


def configure(*arguments: str, text: str = "", without: Collection[str] = (), **changes: str | None) -> Result:
    given = {**GIVEN, **changes, **dict.fromkeys(without)}
    options = [(f"--{name.replace('_', '-')}", value) for name, value in given.items() if value is not None]
    return run("configure", *(word for option in options for word in option), *arguments, text=text)


def test_what_is_given_is_not_asked_for_and_the_change_is_shown_first(config: Path) -> None:
    result = configure(text="y\n")

    assert result.exit_code == 0
    assert config.read_text() == f"{ME}\n{PROFILE}"
    assert [line[1:] for line in result.stdout.splitlines() if re.match(r"\+[^+]", line)] == PROFILE.splitlines()
    assert result.stderr.startswith(f"Change {config}? [y/N]:")


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_changed(config: Path, answer: str) -> None:
    assert configure(text=answer).exit_code == 1
    assert config.read_text() == ME
    assert list(config.parent.glob("config*")) == [config]


def test_yes_in_advance_keeps_a_copy_and_the_second_time_there_is_nothing_to_change(config: Path) -> None:
    result = configure("--yes", api_path="/whoami")

    profile = f"{PROFILE}api_path = /whoami\n"
    assert (result.exit_code, config.read_text()) == (0, f"{ME}\n{profile}")
    backup = config.with_name("config.call-api.bak")
    assert backup.read_text() == ME
    assert result.stdout.endswith(f"Wrote {config}, kept {backup}. Next: call-api doctor --profile orders\n")
    assert configure().stdout == f"{config} says so already.\n"

    proposed = configure(text="\n" * 7, without=GIVEN)
    assert proposed.stdout.endswith(f"{config} says so already.\n")
    assert f"[{EXECUTOR_ROLE_ARN}]" in proposed.stderr

    configure("--yes", mfa_serial="")
    assert "mfa_serial" not in config.read_text(), "an empty answer takes it away"


@pytest.mark.parametrize("option", ["--yes", "--print"])
def test_nothing_is_asked_that_has_an_answer(config: Path, option: str) -> None:
    before = ME.replace("profile me", "default")
    config.write_text(before)

    result = configure(option, without=["role_session_name", "mfa_serial", "region", "source_profile"])

    assert (result.exit_code, result.stderr) == (0, "")
    profile = PROFILE.replace("source_profile = me", "source_profile = default")
    profile = profile.replace(f"mfa_serial = {MFA_SERIAL}\n", "")
    assert config.read_text() == (f"{before}\n{profile}" if option == "--yes" else before)
    assert option == "--yes" or result.stdout == profile


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("user/staff/my-user", "my-user"),
        ("assumed-role/ecs-task/0123456789abcdef", "ecs-task"),
        ("root", None),
    ],
)
def test_session_name_and_region_are_found_out(aws: FakeAws, arn: str, name: str | None) -> None:
    aws.arn = f"arn:aws:{'sts' if arn.startswith('assumed') else 'iam'}::222222222222:{arn}"
    answers = "\n\nn\n" if name else "222222222222-x\n\nn\n"

    asked = configure(text=answers, without=["role_session_name", "region", "mfa_serial"]).stderr

    default = f" [222222222222-{name}]" if name else ""
    assert f"Session name (<account id>-<name>){default}:" in asked
    assert "Region of the API [eu-west-1]" in asked
    mfa = "ARN of your virtual (TOTP) MFA device (empty for none; passkeys and security keys give no codes)"
    assert (mfa in asked) is (":user/" in aws.arn)


def test_a_role_of_others_may_have_any_session_name() -> None:
    result = configure("--yes", role_arn=OTHERS_ROLE, role_session_name="jane")

    assert (result.exit_code, result.stderr) == (0, "")


def test_without_a_response_of_sts_the_session_name_is_asked_for(aws: FakeAws) -> None:
    aws.is_down = True

    result = configure(text="my-user\n222222222222-my-user\n\ny\n", without=["role_session_name", "mfa_serial"])

    assert result.exit_code == 0
    assert "Warning: the caller could not be identified. No credentials from profile me: Connect" in result.stderr
    assert "'my-user' is not <account id>-<name>: account A's trust policy binds it." in result.stderr
    assert "TOTP" in result.stderr, "the profile may be a user's"


# --- Where the first credentials come from ----------------------------------------------------------------------------


def test_a_person_of_identity_center(config: Path) -> None:
    config.write_text(SSO)

    result = configure("--yes", "--sso-session", "company", without=["source_profile", "mfa_serial"])

    assert result.exit_code == 0, result.stderr
    assert "source_profile = sso-jane\n" in config.read_text()
    assert "mfa_serial" not in config.read_text()
    assert "aws sso login --profile sso-jane" in result.stderr, "the session name was given, so that this is no error"


@pytest.mark.parametrize("chosen", ["sso-jane", "sso-b"])
def test_one_of_several_profiles_of_identity_center(config: Path, chosen: str) -> None:
    config.write_text(f"{SSO}[profile sso-b]\nsso_session = company\n")

    assert configure("--yes", "--sso-session", "company", source_profile=chosen).exit_code == 0
    assert f"source_profile = {chosen}\n" in config.read_text()


NAME_ONE = "Name one of the session's profiles with --source-profile: sso-jane, sso-b."


@pytest.mark.parametrize(
    ("options", "source", "words"),
    [
        (["--sso-session", "other"], None, "No profile has sso_session = other; aws configure sso writes one."),
        (["--sso-session", "company"], None, NAME_ONE),
        (["--sso-session", "company"], "me", NAME_ONE),
        (["--credential-source", "Environment"], "me", "excludes --source-profile and --sso-session."),
    ],
)
def test_an_ambiguous_source_is_refused(config: Path, options: list[str], source: str | None, words: str) -> None:
    config.write_text(f"{ME}{SSO}[profile sso-b]\nsso_session = company\n")

    result = configure("--yes", *options, source_profile=source)

    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_a_machine_takes_the_credentials_that_it_has(
    config: Path, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.arn = f"{SESSION}/ci/run-1"
    for name, value in {"ACCESS_KEY_ID": "AKIAX", "SECRET_ACCESS_KEY": "x", "PROFILE": "orders"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)  # of a profile that is not there yet

    options = ["source_profile", "role_session_name", "mfa_serial"]
    result = configure("--yes", "--credential-source", "Environment", without=options)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "credential_source = Environment\n" in config.read_text()
    assert "source_profile" not in config.read_text()
    assert "role_session_name = 222222222222-ci\n" in config.read_text()
    assert configure("--yes", without=options).stdout == f"{config} says so already.\n", "the source is known"


def test_a_profile_may_have_its_own_keys_as_source(config: Path) -> None:
    config.write_text(f"[profile orders]\n{KEYS}")

    result = configure("--yes", source_profile="orders", role_session_name=None)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "role_session_name = 222222222222-my-user" in config.read_text()
    assert "aws_secret_access_key = secret" in config.read_text()


# --- What becomes of the files ----------------------------------------------------------------------------------------


def test_rival_settings_are_removed_and_secrets_not_shown(config: Path) -> None:
    rivals = [
        "credential_source = Environment",
        "web_identity_token_file = /token",
        "credential_process = /opt/creds",
        "sso_session = company",
        "sso_start_url = https://company.awsapps.com/start",
        "sso_account_id = 222222222222",
        "sso_role_name = Dev",
    ]
    config.write_text("\n".join([ME, "[profile orders]", *rivals, "output = text", "aws_session_token: s3cret", ""]))

    result = configure("--yes")

    assert result.exit_code == 0
    assert {f"-{line}" for line in rivals} <= set(result.stdout.splitlines())
    assert not any(line in config.read_text() for line in rivals)
    assert "output = text" in config.read_text()
    assert "aws_session_token: (not shown)" in result.stdout
    assert "s3cret" not in result.stdout


def test_it_warns_of_the_credentials_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("[orders]\nrole_arn = arn:aws:iam::999999999999:role/old\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))

    result = configure("--yes")

    assert f"Warning: [orders] in {credentials} overrides role_arn. Remove it there." in result.stderr


def test_names_with_spaces_are_quoted(config: Path) -> None:
    config.write_text(f'[profile "my user"]\n{KEYS}')

    result = configure("--yes", profile="my orders", source_profile="my user", role_session_name=None)

    assert (result.exit_code, result.stderr) == (0, "")
    assert '[profile "my orders"]' in config.read_text()
    assert "source_profile = my user\n" in config.read_text()
    assert load_config(str(config))["profiles"]["my orders"]["source_profile"] == "my user"
    assert result.stdout.endswith('call-api doctor --profile "my orders"\n')


def test_a_wrong_answer_is_asked_for_again(config: Path) -> None:
    result = configure(text=f"orders\n{EXECUTOR_ROLE_ARN}\ny\n", role_arn=None)

    assert (result.exit_code, config.read_text()) == (0, f"{ME}\n{PROFILE}")
    assert "Error: 'orders' is not a role's ARN: arn:aws:iam::<account A>:role/<name>." in result.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("role_arn", None, "Missing option '--role-arn'."),
        (
            "role_arn",
            "arn:aws:sts::111111111111:assumed-role/a/b",
            "is not a role's ARN: arn:aws:iam::<account A>:role/<na",
        ),
        ("external_id", "a b", "'a b' is not 2 to 1224 letters"),
        ("profile", "x]\n[default", "is not letters, digits or _.@:/+=,- and single spaces."),
        ("role_session_name", "my user", "is not 2 to 64 letters, digits or"),
        ("role_session_name", "333333333333-my-user", "'333333333333-my-user' is not 222222222222-<name>"),
        ("role_session_name", "222222222222-", "account A's trust policy binds it"),
        ("mfa_serial", "a b c d e f", "is not arn:aws:iam::<account id>:mfa/<device>, a serial number, or nothing."),
        ("api_url", "http://example.com", "api_url is 'http://example.com'"),
        ("region", "here", "'here' is not a region such as eu-west-1."),
        ("api_path", "C:/Git/whoami", "Git Bash makes a Windows path"),
    ],
)
def test_a_wrong_option_is_refused(config: Path, name: str, value: str | None, message: str) -> None:
    result = configure("--yes", **{name: value})  # type: ignore[arg-type]

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert config.read_text() == ME


def test_a_file_that_cannot_be_read_or_written(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as now:
        now.setattr("pathlib.Path.replace", fail)
        full = configure("--yes")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{config}/config")
    missing = configure("--yes")

    assert (full.exit_code, missing.exit_code) == (1, 1)
    assert f"Cannot write {config}: No space left on device." in full.stderr
    assert f"Cannot read {config}/config: Not a directory." in missing.stderr
