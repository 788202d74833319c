from __future__ import annotations

from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse

from cross_account_access.templates import PROJECT, Side, source
from cross_account_lab import workarounds

OUTPUTS = {"ApiId": "abc123", "ApiUrl": "https://abc123.execute-api.eu-west-1.amazonaws.com/v2"}


def test_the_api_url_keeps_the_stage() -> None:
    assert workarounds.api_url("https://127.0.0.1:1", OUTPUTS) == "https://127.0.0.1:1/_aws/execute-api/abc123/v2"


def test_session_names_are_bound_to_the_consumers_literally() -> None:
    given = workarounds.provider_parameters(["account-b", "account-c"])

    assert given["ConsumerSessionName"] == "222222222222-*,333333333333-*"
    assert given["RequireMfaForUsers"] == "false"


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("arm64", "arm64"), ("aarch64", "arm64")],
)
def test_functions_are_built_for_this_machine(monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)

    assert workarounds.provider_parameters([])["Architecture"] == architecture
    assert workarounds.consumer_parameters("url")["Architecture"] == architecture


def test_only_parameters_of_the_templates_are_given() -> None:
    assert workarounds.provider_parameters(["account-b"]).keys() <= source("a")["Parameters"].keys()
    assert workarounds.consumer_parameters("url").keys() <= source("b")["Parameters"].keys()


def adapted(side: str) -> dict[str, Any]:
    text = (PROJECT / f"template-account-{side}.yaml").read_text()
    template: dict[str, Any] = yaml_parse(workarounds.adapted_template(text))
    return template


@pytest.mark.parametrize("side", ["a", "b"])
def test_only_saved_queries_are_left_out_of_a_template(side: Side) -> None:
    before, after = source(side)["Resources"], adapted(side)["Resources"]
    left_out = {resource["Type"] for name, resource in before.items() if name not in after}
    assert left_out == {"AWS::Logs::QueryDefinition"}
    for name, resource in after.items():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            assert resource == before[name]


def test_an_alarm_on_an_expression_watches_its_first_metric() -> None:
    alarm = adapted("b")["Resources"]["FailedCallQueueAlarm"]["Properties"]
    assert "Metrics" not in alarm
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert (alarm["Statistic"], alarm["Period"], alarm["Threshold"]) == ("Maximum", 300, 1)


def test_conditions_ask_for_the_first_element_of_a_list() -> None:
    assert adapted("b")["Conditions"]["HasApiUsers"] == {
        "Fn::Not": [{"Fn::Equals": [{"Fn::Select": [0, {"Ref": "ApiUserNames"}]}, ""]}]
    }
    assert "Fn::Split" not in str(adapted("b")["Conditions"])
