"""The request for a change set that `.github/deploy.py` lets SAM CLI make."""

import runpy
from typing import Any
from urllib.parse import parse_qs

import boto3
import botocore
import pytest
from botocore.awsrequest import AWSResponse
from samcli.lib.deploy.deployer import Deployer

from cross_account_access.templates import PROJECT
from cross_account_lab.judge.loopback import Response
from tests.support.fakes import aws_response

DEPLOY = runpy.run_path(str(PROJECT / ".github/deploy.py"))
TRIGGER = {"Arn": "arn:aws:cloudwatch:eu-west-1:111111111111:alarm:orders-api-x", "Type": "AWS::CloudWatch::Alarm"}


class CloudFormation:
    """It has one stack, and takes change sets."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    def send(self, request: Any) -> AWSResponse:
        form = {name: values[0] for name, values in parse_qs(request.body, keep_blank_values=True).items()}
        self.asked.append(form)
        action = form["Action"]
        stack = "<StackName>orders-api</StackName><StackStatus>CREATE_COMPLETE</StackStatus>"
        result = {
            "DescribeStacks": f"<Stacks><member>{stack}</member></Stacks>",
            "GetTemplateSummary": "<Parameters/>",
            "CreateChangeSet": "<Id>id</Id><StackId>stack</StackId>",
        }[action]
        body = f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"
        return aws_response(request.url, Response(200, {}, body.encode()))


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> CloudFormation:
    service = CloudFormation()
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lambda _, request: service.send(request))
    monkeypatch.setattr(botocore, "_INITIALIZERS", [])
    return service


@pytest.mark.parametrize(
    ("triggers", "sent"),
    [
        (
            [TRIGGER],
            {
                "RollbackConfiguration.RollbackTriggers.member.1.Arn": TRIGGER["Arn"],
                "RollbackConfiguration.RollbackTriggers.member.1.Type": TRIGGER["Type"],
                "RollbackConfiguration.MonitoringTimeInMinutes": "10",
            },
        ),
        # Said, not left out: CloudFormation keeps the triggers of earlier updates.
        ([], {"RollbackConfiguration.RollbackTriggers": "", "RollbackConfiguration.MonitoringTimeInMinutes": "0"}),
    ],
)
def test_sams_own_change_set_has_the_triggers(
    cloudformation: CloudFormation, triggers: list[dict[str, str]], sent: dict[str, str]
) -> None:
    DEPLOY["add_to_change_sets"](triggers)
    client = boto3.Session(region_name="eu-west-1").client("cloudformation")
    Deployer(client).create_changeset("orders-api", "{}", [], ["CAPABILITY_IAM"], None, [], None, [])

    rollback = {
        form["Action"]: {name: value for name, value in form.items() if name.startswith("Rollback")}
        for form in cloudformation.asked
    }
    assert rollback == {"DescribeStacks": {}, "GetTemplateSummary": {}, "CreateChangeSet": sent}
