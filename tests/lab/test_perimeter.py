"""The provider's perimeter, as far as the emulator has one."""

import os
import runpy
import subprocess
import sys

import pytest
from botocore.credentials import Credentials

from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION
from cross_account_lab.lab import Lab
from tests.support.stacks import update

# No DNS name leads to the emulator, so the domain is the address that it has.
DOMAIN = {"DomainName": "127.0.0.1", "CertificateArn": "arn:aws:acm:eu-west-1:111111111111:certificate/0a1b2c3d"}


def test_consumers_move_to_a_domain_without_an_outage(own_lab: Lab) -> None:
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    default = own_lab.api_url

    update(own_lab, ACCOUNT_A, **DOMAIN, BasePath="shop")
    assert own_lab.outputs[ACCOUNT_A]["ApiRegion"] == REGION
    assert own_lab.api_url == f"{own_lab.endpoint}/shop" != default
    # Both addresses, signed for each; the caller still uses the old one.
    assert own_lab.request("GET", "/echo", session).json()["account_id"] == "222222222222"
    assert own_lab.invoke({"path": "/echo"})["status"] == 200
    # Refused as before, and the base path adds no route.
    assert own_lab.request("GET", "/echo", None).status_code == 403
    assert own_lab.request("GET", "/shop/echo", session).status_code == 403

    update(own_lab, ACCOUNT_B, ApiRegion=own_lab.outputs[ACCOUNT_A]["ApiRegion"])
    assert own_lab.invoke({"path": "/echo"})["status"] == 200

    # Back to what other tests expect.
    update(own_lab, ACCOUNT_A, **dict.fromkeys(DOMAIN, ""), BasePath="")
    assert own_lab.api_url == default
    update(own_lab, ACCOUNT_B, ApiRegion="")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200


def test_a_private_api_answers_nobody_outside_its_endpoints(own_lab: Lab) -> None:
    update(own_lab, ACCOUNT_A, VpcEndpointIds="vpce-0a1b2c3d")
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    refused = own_lab.request("GET", "/echo", session)
    assert (refused.status_code, "explicit deny" in refused.text) == (403, True)

    # Back to what other tests expect.
    update(own_lab, ACCOUNT_A, VpcEndpointIds="")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200


def test_consumers_are_metered_without_an_outage(own_lab: Lab) -> None:
    session = own_lab.assume_executor(own_lab.user_key, "222222222222-my-user")
    plan = {"RateLimit": "1000", "BurstLimit": "1000"}

    def status(key: str = "", who: Credentials | None = session) -> int:
        return own_lab.request("GET", "/echo", who, headers={"x-api-key": key} if key else {}).status_code

    # The documented order: hand the keys out, have them sent, then require them.
    update(own_lab, ACCOUNT_A, **plan)
    key_id = own_lab.outputs[ACCOUNT_A]["ApiKeyId"]
    key = own_lab.session(ACCOUNT_A).client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
    assert (status(), status(key)) == (200, 200)
    update(own_lab, ACCOUNT_B, ApiKey=key)
    assert own_lab.invoke({"path": "/echo"})["status"] == 200
    own_lab.deploy(ACCOUNT_A, RequireApiKeys="true")
    update(own_lab, ACCOUNT_B)  # the emulator replaces an API whose definition changes
    assert own_lab.invoke({"path": "/echo"})["status"] == 200
    # The key opens nothing without a signature, nor the signature without the key.
    assert (status(key), status(), status("k" * 40), status(key, None)) == (200, 403, 403, 403)

    update(own_lab, ACCOUNT_A, DailyQuota="1")
    assert [status(key), status(key)] == [200, 429]
    failed = own_lab.invoke({"path": "/echo"})["errorMessage"]
    assert failed.startswith("The API answered 429 Limit Exceeded")
    assert "quota is used up" in failed

    # Back to what other tests expect.
    own_lab.deploy(ACCOUNT_A, RequireApiKeys="", RateLimit="", BurstLimit="100", DailyQuota="")
    update(own_lab, ACCOUNT_B, ApiKey="")
    assert own_lab.invoke({"path": "/echo"})["status"] == 200


def test_a_deployment_watches_an_alarm_that_is_off(own_lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    session = own_lab.session(ACCOUNT_B)
    cloudwatch = session.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNamePrefix="orders-caller-FailedCallsAlarm-")["MetricAlarms"]
    script = PROJECT / ".github/deploy.py"
    find_triggers = runpy.run_path(str(script))["find_triggers"]

    for name, state, said in (
        ("SuchAlarm", "OK", "orders-caller has no SuchAlarm to watch.\n"),
        ("FailedCallsAlarm", "ALARM", f"{alarm['AlarmName']} is on already, so it is not watched.\n"),
    ):
        cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason="test")
        assert find_triggers(session, "orders-caller", name) == []
        assert capsys.readouterr().out == said
    cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="OK", StateReason="test")
    done = subprocess.run(
        [sys.executable, script, "account-b", "FailedCallsAlarm"],
        cwd=own_lab.sam.folder,
        env={**os.environ, **own_lab.sam.environment, "NO_PROXY": "127.0.0.1", "SAM_CLI_TELEMETRY": "0"},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert f"{alarm['AlarmName']} is watched for 10 minutes after the change." in done.stdout
