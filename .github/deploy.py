"""`sam deploy` whose change CloudFormation rolls back if an alarm of the stack goes off in the ten minutes after it.

    python .github/deploy.py account-a ServerErrorsAlarm --parameter-overrides file://parameters.yaml

SAM CLI has no option for rollback triggers, so its own request for the change set gets them here.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-rollback-triggers.html
"""

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
import botocore
import click
from botocore.exceptions import ClientError

MINUTES = 10
"""Two periods of an alarm; with the deployment itself less than the hour for which the job has credentials."""


def find_triggers(session: boto3.Session, stack_name: str, alarm: str) -> list[dict[str, str]]:
    """Return the alarm of a deployed stack as rollback trigger.

    There is none in a first deployment, or in a stack without alarms. One that is on already would undo every change,
    the one that fixes its cause included.
    """
    try:
        detail = session.client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId=alarm)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        click.echo(f"{stack_name} has no {alarm} to watch.")
        return []
    name = detail["StackResourceDetail"]["PhysicalResourceId"]
    [found] = session.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    if found["StateValue"] == "ALARM":
        click.echo(f"{name} is on already, so it is not watched.")
        return []
    click.echo(f"{name} is watched for {MINUTES} minutes after the change.")
    return [{"Arn": found["AlarmArn"], "Type": "AWS::CloudWatch::Alarm"}]


def add_to_change_sets(triggers: list[dict[str, str]]) -> None:
    """Add triggers to every change set that this process creates; an empty list clears those of earlier ones."""

    def add(params: dict[str, Any], **_: Any) -> None:
        minutes = MINUTES if triggers else 0
        params["RollbackConfiguration"] = {"RollbackTriggers": triggers, "MonitoringTimeInMinutes": minutes}

    def register(session: Any) -> None:
        session.register("provide-client-params.cloudformation.CreateChangeSet", add)

    botocore.register_initializer(register)


def main(config_env: str, alarm: str, arguments: Sequence[str]) -> None:
    """Deploy as samconfig.toml says."""
    from samcli.cli.main import cli  # noqa: PLC0415 - it makes sessions, which must come after what is registered here

    given = tomllib.loads(Path("samconfig.toml").read_text())[config_env]["deploy"]["parameters"]
    add_to_change_sets(find_triggers(boto3.Session(profile_name=given["profile"]), given["stack_name"], alarm))
    cli(["deploy", "--config-env", config_env, *arguments])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
