"""Alarms, set off by the log lines of the functions."""

import json
from typing import Any

from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import STACK_NAMES, Lab
from tests.support.waiting import eventually


def publish_metrics(lab: Lab) -> None:
    """Extract metrics from log lines in the embedded metric format, as CloudWatch does and the emulator does not.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    session = lab.session(ACCOUNT_B)
    logs, cloudwatch = session.client("logs"), session.client("cloudwatch")
    for group in logs.describe_log_groups()["logGroups"]:
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]:
            line = json.loads(event["message"]) if event["message"].startswith('{"_aws"') else {}
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                cloudwatch.put_metric_data(
                    Namespace=directive["Namespace"],
                    MetricData=[
                        {
                            "MetricName": metric["Name"],
                            "Unit": metric["Unit"],
                            "Values": line[metric["Name"]],
                            "Dimensions": [{"Name": name, "Value": line[name]} for name in dimensions],
                        }
                        for dimensions in directive["Dimensions"]
                        for metric in directive["Metrics"]
                    ],
                )


def in_alarm(lab: Lab) -> set[str]:
    """The logical ids of the alarms that have gone off."""
    alarms = lab.session(ACCOUNT_B).client("cloudwatch").describe_alarms(StateValue="ALARM")["MetricAlarms"]
    names = (alarm["AlarmName"] for alarm in alarms)
    return {name.split("-")[2] for name in names if name.startswith(STACK_NAMES[ACCOUNT_B])}


def test_a_call_that_fails_sets_off_the_alarm_for_it(lab: Lab) -> None:
    failed: dict[str, Any] = lab.invoke({"method": "DELETE", "path": "/orders/x"})
    assert "errorMessage" in failed

    publish_metrics(lab)

    assert eventually(lambda: "FailedCallsAlarm" in in_alarm(lab))
    assert "LostCallsAlarm" not in in_alarm(lab)
