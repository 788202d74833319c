"""Sessions of a role: when STS is asked for one, and when a profile's cache has it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import botocore.credentials
import pytest

from cross_account_api.credentials import AssumedRoleCredentials, ProfileCredentials, default_session_name
from cross_account_api.errors import AssumeRoleError
from tests.support.fakes import EXECUTOR_ROLE_ARN, EXTERNAL_ID, FakeSts, FakeTime


@pytest.fixture
def executor(sts: FakeSts, clock: FakeTime) -> AssumedRoleCredentials:
    return AssumedRoleCredentials(
        EXECUTOR_ROLE_ARN, external_id=EXTERNAL_ID, session_name="222222222222-orders-caller", clock=clock
    )


def pass_time(monkeypatch: pytest.MonkeyPatch, **ago: float) -> None:
    """Let botocore's clock be later."""
    later = timedelta(**ago)
    for session_class in (
        botocore.credentials.RefreshableCredentials,
        botocore.credentials.DeferredRefreshableCredentials,
    ):
        monkeypatch.setattr(
            session_class,
            "_seconds_remaining",
            lambda self: (self._expiry_time - datetime.now(UTC) - later).total_seconds(),
        )


def test_the_role_is_assumed_as_its_trust_policy_wants(executor: AssumedRoleCredentials, sts: FakeSts) -> None:
    assert sts.requests == [], "nothing is asked before it is needed"

    sessions = {executor.get_frozen_credentials() for _ in range(1000)}

    assert sts.requests == [
        {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": EXECUTOR_ROLE_ARN,
            "RoleSessionName": "222222222222-orders-caller",
            "ExternalId": EXTERNAL_ID,
            "DurationSeconds": "3600",
        }
    ]
    assert sessions == set(sts.api.sessions.values())


def test_32_cold_threads_share_a_failure_for_some_seconds(
    executor: AssumedRoleCredentials, sts: FakeSts, clock: FakeTime
) -> None:
    sts.delay = 0.05
    sts.failure = (403, "AccessDenied", "no")

    def fail(_: int) -> tuple[str, int]:
        with pytest.raises(AssumeRoleError) as caught:
            executor.get_frozen_credentials()
        return caught.value.code, len(caught.traceback)

    with ThreadPoolExecutor(32) as pool:
        failures = set(pool.map(fail, range(32)))

    assert {code for code, _ in failures} == {"AccessDenied"}
    assert len(sts.requests) == 1
    sts.failure = None
    assert len({fail(number) for number in range(5)}) == 1, "the traceback does not grow with those who share it"
    clock.now += 6
    assert executor.get_frozen_credentials().token in sts.api.sessions


def test_the_error_has_the_code_of_sts_and_says_who_can_fix_it(executor: AssumedRoleCredentials, sts: FakeSts) -> None:
    sts.failure = (403, "ExpiredToken", "User: arn:aws:sts::222222222222:assumed-role/x is not authorized\nsecond line")

    with pytest.raises(AssumeRoleError) as caught:
        executor.get_frozen_credentials()

    message = str(caught.value)
    assert (caught.value.code, caught.value.role) == ("ExpiredToken", EXECUTOR_ROLE_ARN)
    assert f"Could not assume {EXECUTOR_ROLE_ARN}: ExpiredToken: User: arn:aws:sts" in message
    assert "Account B: the caller's own credentials have expired" in message
    assert "second line" not in message
    assert EXTERNAL_ID not in message


def test_a_session_is_renewed_before_its_end(
    executor: AssumedRoleCredentials, sts: FakeSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not executor.are_at_hand()
    first = executor.get_frozen_credentials()

    for minutes, is_kept in ((44, True), (46, False)):
        pass_time(monkeypatch, minutes=minutes)
        assert executor.are_at_hand() is is_kept, "or STS would be asked"
        assert (executor.get_frozen_credentials() == first) is is_kept
    assert ProfileCredentials().are_at_hand(), "keys of the environment"


def test_a_failed_early_refresh_is_logged_and_the_session_kept(
    executor: AssumedRoleCredentials, sts: FakeSts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    first = executor.get_frozen_credentials()
    sts.down()
    pass_time(monkeypatch, minutes=46)

    assert [executor.get_frozen_credentials() for _ in range(10)] == [first] * 10
    assert "advisory refresh" in caplog.text
    assert len(sts.requests) == 1 + 3


def test_an_expired_session_is_replaced_once_for_all_threads(executor: AssumedRoleCredentials, sts: FakeSts) -> None:
    first = executor.get_frozen_credentials()

    def renewed(_: int) -> object:
        assert executor.refresh(first, expired=True)
        return executor.get_frozen_credentials()

    with ThreadPoolExecutor(32) as pool:
        sessions = set(pool.map(renewed, range(32)))

    assert len(sessions) == 1
    assert first not in sessions
    assert len(sts.requests) == 2


def test_a_possibly_revoked_session_is_replaced_after_a_minute(
    executor: AssumedRoleCredentials, clock: FakeTime
) -> None:
    first = executor.get_frozen_credentials()
    assert not executor.refresh(first, expired=False)
    assert executor.get_frozen_credentials() == first

    clock.now += 61

    assert executor.refresh(first, expired=False)
    assert executor.get_frozen_credentials() != first


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home directory with the profiles of a person."""
    (tmp_path / "config").write_text(
        f"""
[profile my-user]
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = secret-of-my-user

[profile orders]
region = eu-west-1
ca_bundle = /etc/ssl/bundle.pem
role_arn = {EXECUTOR_ROLE_ARN}
source_profile = my-user
external_id = {EXTERNAL_ID}
role_session_name = 222222222222-my-user
"""
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


@pytest.mark.usefixtures("profile")
def test_a_profile_shares_the_sessions_of_the_aws_cli(sts: FakeSts, tmp_path: Path) -> None:
    credentials = ProfileCredentials("orders")

    session = credentials.get_frozen_credentials()

    [request] = sts.requests
    assert request["RoleArn"] == EXECUTOR_ROLE_ARN
    assert request["RoleSessionName"] == "222222222222-my-user"
    assert request["ExternalId"] == EXTERNAL_ID
    assert (credentials.region, credentials.ca_bundle) == ("eu-west-1", "/etc/ssl/bundle.pem")
    assert not credentials.refresh(session, expired=False)
    assert len(list((tmp_path / ".aws/cli/cache").iterdir())) == 1
    assert ProfileCredentials("orders").get_frozen_credentials() == session
    assert len(sts.requests) == 1


@pytest.mark.usefixtures("profile")
def test_a_rejected_session_of_the_cache_is_replaced_once(sts: FakeSts, tmp_path: Path) -> None:
    first = ProfileCredentials("orders").get_frozen_credentials()
    later = ProfileCredentials("orders")
    assert later.get_frozen_credentials() == first

    assert later.refresh(first, expired=False)
    second = later.get_frozen_credentials()

    assert second != first
    assert not later.refresh(second, expired=False)
    assert not later.refresh(first, expired=True)
    assert ProfileCredentials("orders").get_frozen_credentials() == second


@pytest.mark.usefixtures("profile")
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"Credentials": 1}', "\xff"])
def test_a_broken_cache_is_ignored(sts: FakeSts, tmp_path: Path, content: str) -> None:
    ProfileCredentials("orders").get_frozen_credentials()
    [file] = (tmp_path / ".aws/cli/cache").iterdir()
    file.write_text(content, encoding="latin-1")

    ProfileCredentials("orders").get_frozen_credentials()

    assert len(sts.requests) == 2


@pytest.mark.usefixtures("profile")
def test_a_cache_that_cannot_be_written_is_ignored(sts: FakeSts, tmp_path: Path) -> None:
    (tmp_path / ".aws").write_text("a file where the folder should be")

    assert ProfileCredentials("orders").get_frozen_credentials().token in sts.api.sessions


def test_credentials_of_the_default_chain_are_not_replaced(environment: dict[str, str]) -> None:
    credentials = ProfileCredentials()

    assert not credentials.refresh(credentials.get_frozen_credentials(), expired=True)


def test_a_session_is_named_after_its_caller(sts: FakeSts, clock: FakeTime) -> None:
    executor = AssumedRoleCredentials(EXECUTOR_ROLE_ARN, clock=clock)

    executor.get_frozen_credentials()

    identity, assume = sts.requests
    assert identity["Action"] == "GetCallerIdentity"
    assert assume["RoleSessionName"] == "222222222222-my-user"
    assert "ExternalId" not in assume


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:iam::222222222222:user/team/jane", "jane"),
        ("arn:aws:iam::222222222222:root", "root"),
        ("arn:aws:sts::222222222222:assumed-role/nightly-task/0af3c1de9b7e4d5f", "nightly-task"),
        ("arn:aws-cn:sts::222222222222:assumed-role/AWSReservedSSO_Dev_1f2e/jane@example.org", "jane@example.org"),
        (f"arn:aws:iam::222222222222:user/{'x' * 64}", "x" * 51),
    ],
)
def test_the_default_session_name_says_who_calls(arn: str, name: str) -> None:
    assert default_session_name("222222222222", arn) == f"222222222222-{name}"
