"""Credentials and a command to call with. All tests share one lab: what a test changes, it changes back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.credentials import Credentials
from click.testing import CliRunner, Result

from call_api.__main__ import main
from cross_account_lab.lab import USER_PROFILE, Lab


@pytest.fixture(scope="session")
def me(lab: Lab) -> Credentials:
    """my-user, in the executor role."""
    return lab.assume_executor(lab.user_key, "222222222222-my-user")


@pytest.fixture
def call_api(lab: Lab, tmp_path: Path) -> Callable[..., Result]:
    """Run `call-api` as a user with the lab's profiles, and nothing of the machine's user."""

    def run(*arguments: str, text: str | None = None, code: int = 0, **environment: str | None) -> Result:
        given = {"HOME": str(tmp_path), "API_URL": lab.api_url, "AWS_PROFILE": USER_PROFILE, **environment}
        runner = CliRunner(mix_stderr=False, env=lab.environment | given)
        result = runner.invoke(main, arguments, input=text)
        assert result.exit_code == code, result.stdout + result.stderr
        return result

    return run
