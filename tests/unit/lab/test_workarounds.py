from functools import cache
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from cross_account_access.templates import PROJECT, Side, source
from cross_account_lab import workarounds

ENDPOINT = "https://127.0.0.1:1"
SIDES: dict[str, Side] = {"account-a": "a", "account-b": "b", "access": "access"}


@cache
def adapted(stack: str) -> dict[str, Any]:
    text = (PROJECT / f"template-{stack}.yaml").read_text()
    template: dict[str, Any] = yaml_parse(workarounds.adapted_template(text, ENDPOINT))
    return template


def test_the_api_url_leads_to_the_emulator_and_keeps_the_stage() -> None:
    before, after = source("a")["Outputs"], adapted("account-a")["Outputs"]
    [api] = [name for name in source("a")["Resources"] if source("a")["Resources"][name]["Type"].endswith("::Api")]
    *_, without_domain = after["ApiUrl"]["Value"]["Fn::If"]
    assert without_domain == {"Fn::Sub": f"{ENDPOINT}/_aws/execute-api/${{{api}}}/${{StageName}}"}
    assert {**after, "ApiUrl": ""} == {**before, "ApiUrl": ""}
    for stack, side in SIDES.items():
        if side != "a":
            assert adapted(stack)["Outputs"] == source(side)["Outputs"]


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"SuspendedConsumerIds": "222222222222"}, {}),
        (
            {"ConsumerAccountIds": "222222222222,333333333333", "Architecture": "arm64"},
            {"ConsumerSessionName": "222222222222-*,333333333333-*", "RequireMfaForUsers": "false"},
        ),
        (
            {"ConsumerAccountIds": "222222222222", "ConsumerSessionName": "222222222222-job", "Architecture": "arm64"},
            {"RequireMfaForUsers": "false"},
        ),
        ({"ApiUrl": "https://127.0.0.1:1/v1", "Architecture": "x86_64"}, {}),
    ],
)
def test_what_a_user_passes_is_completed_but_never_replaced(given: dict[str, str], needed: dict[str, str]) -> None:
    assert workarounds.completed(given) == given | needed


@pytest.mark.parametrize("stack", SIDES)
def test_only_saved_queries_are_left_out_of_a_template(stack: str) -> None:
    before, after = source(SIDES[stack])["Resources"], adapted(stack)["Resources"]
    left_out = {resource["Type"] for name, resource in before.items() if name not in after}
    assert left_out <= {"AWS::Logs::QueryDefinition"}
    for name, resource in after.items():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            assert resource == before[name]


def test_an_alarm_on_an_expression_watches_its_first_metric() -> None:
    alarm = adapted("account-b")["Resources"]["FailedCallQueueAlarm"]["Properties"]
    assert "Metrics" not in alarm
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert (alarm["Statistic"], alarm["Period"], alarm["Threshold"]) == ("Maximum", 300, 1)
