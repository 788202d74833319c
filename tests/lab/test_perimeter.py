"""The provider's perimeter, as far as the emulator has one."""

import json
import os
import runpy
import subprocess
import sys

import pytest
from botocore.credentials import Credentials

from cross_account_access.templates import PROJECT
from cross_account_lab import workarounds
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, REGION
from cross_account_lab.lab import STACK_NAMES, Lab
from tests.support.stacks import change, template_of, update

# No DNS name leads to the emulator, so the domain is the address that it has.
DOMAIN = {"DomainName": "127.0.0.1", "CertificateArn": "arn:aws:acm:eu-west-1:111111111111:certificate/0a1b2c3d"}


def test_consumers_move_to_a_domain_without_an_outage(lab: Lab) -> None:
    session = lab.assume_executor(lab.user_key, "222222222222-my-user")
    default = lab.api_url

    update(lab, ACCOUNT_A, **DOMAIN, BasePath="shop")
    assert lab.outputs[ACCOUNT_A]["ApiRegion"] == REGION
    assert lab.api_url == f"{lab.endpoint}/shop" != default
    # Both addresses, signed for each; the caller still uses the old one.
    assert lab.request("GET", "/whoami", session).json()["account_id"] == "222222222222"
    assert lab.invoke({"path": "/whoami"})["status"] == 200
    # Refused as before, and the base path adds no route.
    assert lab.request("GET", "/whoami", None).status_code == 403
    assert lab.request("GET", "/shop/whoami", session).status_code == 403

    update(lab, ACCOUNT_B, ApiRegion=lab.outputs[ACCOUNT_A]["ApiRegion"])
    assert lab.invoke({"path": "/whoami"})["status"] == 200

    # Back to what other tests expect.
    update(lab, ACCOUNT_A, **dict.fromkeys(DOMAIN, ""), BasePath="")
    assert lab.api_url == default
    update(lab, ACCOUNT_B, ApiRegion="")
    assert lab.invoke({"path": "/whoami"})["status"] == 200


def test_a_private_api_answers_nobody_outside_its_endpoints(lab: Lab) -> None:
    update(lab, ACCOUNT_A, VpcEndpointIds="vpce-0a1b2c3d")
    session = lab.assume_executor(lab.user_key, "222222222222-my-user")
    refused = lab.request("GET", "/whoami", session)
    assert (refused.status_code, "explicit deny" in refused.text) == (403, True)

    # Back to what other tests expect.
    update(lab, ACCOUNT_A, VpcEndpointIds="")
    assert lab.invoke({"path": "/whoami"})["status"] == 200


def require_keys(lab: Lab, required: str, **parameters: str) -> None:
    """Deploy with `RequireApiKeys`, as SAM CLI does, which reads it."""
    session, name = lab.session(ACCOUNT_A), STACK_NAMES[ACCOUNT_A]
    built = (lab.sam.build_folder(ACCOUNT_A) / "template.yaml").read_text()
    template = json.loads(workarounds.deployable(built, {"RequireApiKeys": required}))
    for key, deployed in json.loads(template_of(session, name))["Resources"].items():
        if deployed["Type"] == "AWS::Lambda::Function":
            code = deployed["Properties"]["Code"]
            place = {"Bucket": code["S3Bucket"], "Key": code["S3Key"]}
            template["Resources"][key]["Properties"]["CodeUri"] = place
    given = lab.parameters(ACCOUNT_A) | {"RequireApiKeys": required} | parameters
    lab.outputs[ACCOUNT_A] = change(session, name, given, json.dumps(template, separators=(",", ":")))


def test_consumers_are_metered_without_an_outage(lab: Lab) -> None:
    session = lab.assume_executor(lab.user_key, "222222222222-my-user")
    plan = {"RateLimit": "1000", "BurstLimit": "1000"}

    def status(key: str = "", who: Credentials | None = session) -> int:
        return lab.request("GET", "/whoami", who, headers={"x-api-key": key} if key else {}).status_code

    # The documented order: hand the keys out, have them sent, then require them.
    update(lab, ACCOUNT_A, **plan)
    key_id = lab.outputs[ACCOUNT_A]["ApiKeyId"]
    key = lab.session(ACCOUNT_A).client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"]
    assert (status(), status(key)) == (200, 200)
    update(lab, ACCOUNT_B, ApiKey=key)
    assert lab.invoke({"path": "/whoami"})["status"] == 200
    require_keys(lab, "true")
    update(lab, ACCOUNT_B)  # the emulator replaces an API whose definition changes
    assert lab.invoke({"path": "/whoami"})["status"] == 200
    # The key opens nothing without a signature, nor the signature without the key.
    assert (status(key), status(), status("k" * 40), status(key, None)) == (200, 403, 403, 403)

    update(lab, ACCOUNT_A, DailyQuota="1")
    assert [status(key), status(key)] == [200, 429]
    failed = lab.invoke({"path": "/whoami"})["errorMessage"]
    assert failed.startswith("The API answered 429 Limit Exceeded")
    assert "quota is used up" in failed

    # Back to what other tests expect.
    require_keys(lab, "", RateLimit="", BurstLimit="100", DailyQuota="")
    update(lab, ACCOUNT_B, ApiKey="")
    assert lab.invoke({"path": "/whoami"})["status"] == 200


def test_a_deployment_watches_an_alarm_that_is_off(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    session = lab.session(ACCOUNT_B)
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
        cwd=lab.sam.folder,
        env={**os.environ, **lab.sam.environment, "NO_PROXY": "127.0.0.1", "SAM_CLI_TELEMETRY": "0"},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert f"{alarm['AlarmName']} is watched for 10 minutes after the change." in done.stdout
