"""What the lab does because the emulator differs from AWS, so that the templates stay right for AWS."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import boto3

from cross_account_access.engine.sources import load
from cross_account_lab.process import host_architecture


def provider_parameters(consumer_ids: Iterable[str]) -> dict[str, str]:
    """Return the template parameters that a stack with an executor role needs in the emulator."""
    return {
        # The functions run on this machine.
        "Architecture": host_architecture(),
        # The default is a policy variable, which never matches here. Literal patterns do not keep two consumers apart.
        "ConsumerSessionName": ",".join(f"{consumer}-*" for consumer in consumer_ids),
        # No session here has authenticated with MFA.
        "RequireMfaForUsers": "false",
    }


def completed(given: Mapping[str, str]) -> dict[str, str]:
    """Return what is passed to a template, with what that needs in the emulator."""
    needed: dict[str, str] = {}
    if "ConsumerAccountIds" in given:
        needed |= provider_parameters(filter(None, given["ConsumerAccountIds"].split(",")))
    if "ApiUrl" in given:
        needed["Architecture"] = host_architecture()
    return needed | dict(given)


def complete_consumer(session: boto3.Session, outputs: Mapping[str, str]) -> None:
    """Set what the emulator's CloudFormation leaves out of account B's stack."""
    function = session.client("lambda")
    name = outputs["CallerFunctionName"]
    # It drops the function's dead-letter queue.
    queue = outputs["FailedCallQueueArn"]
    function.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": queue})
    # It passes the parameter on as a string, which stops its poller for every queue.
    [mapping] = function.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    concurrency = int(mapping["ScalingConfig"]["MaximumConcurrency"])
    function.update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": concurrency})


def adapted_template(text: str, endpoint: str) -> str:
    """Return a template in the form that the emulator at an endpoint can deploy."""
    template = dict(load(text, "the template").template)
    if "Conditions" in template:
        template["Conditions"] = _adapted_condition(template["Conditions"])
    for output in template.get("Outputs", {}).values():
        output["Value"] = _adapted_url(output["Value"], endpoint)
    for name, resource in list(template["Resources"].items()):
        if resource["Type"] == "AWS::Logs::QueryDefinition":  # not implemented
            del template["Resources"][name]
        elif resource["Type"] == "AWS::CloudWatch::Alarm":
            _without_metric_math(resource["Properties"])
    return json.dumps(template)


def deployable(text: str, given: Mapping[str, str]) -> str:
    """Return a built template as it is deployed with these parameters: as JSON, because SAM parses it seven times."""
    template = load(text, "the built template").template
    if "RequireApiKeys" in given:
        # SAM reads the parameter, and the emulator's SAM sees only defaults.
        template["Parameters"]["RequireApiKeys"]["Default"] = given["RequireApiKeys"]
    return json.dumps(template)


def _adapted_url(value: Any, endpoint: str) -> Any:
    """Lead to the emulator, as no DNS name does: an API's id is in the path, and a domain is the emulator's address."""
    match value:
        case {"Fn::Sub": str(url)}:
            url = re.sub(r"https://(\$\{\w+\})\.execute-api\.[^/]+", rf"{endpoint}/_aws/execute-api/\1", url)
            return {"Fn::Sub": url.replace("https://${DomainName}", endpoint)}
        case dict():
            return {key: _adapted_url(item, endpoint) for key, item in value.items()}
        case list():
            return [_adapted_url(item, endpoint) for item in value]
    return value


def _adapted_condition(value: Any) -> Any:
    """Replace what the emulator does not evaluate in conditions."""
    match value:
        case {"Fn::Join": ["", {"Ref": name}]}:
            # Whether a list is empty: its first element says so, too.
            return {"Fn::Select": [0, {"Ref": name}]}
        case {"Fn::Select": [_, {"Fn::Split": _}]}:
            # The kind of schedule: here one that runs once has NoSuccessAlarm, too.
            return ""
        case dict():
            return {key: _adapted_condition(item) for key, item in value.items()}
        case list():
            return [_adapted_condition(item) for item in value]
    return value


def _without_metric_math(alarm: dict[str, Any]) -> None:
    """Replace an expression, which the emulator does not support, with its first metric."""
    metrics = [item["MetricStat"] for item in alarm.pop("Metrics", []) if "MetricStat" in item]
    if metrics:
        alarm |= {**metrics[0]["Metric"], "Statistic": metrics[0]["Stat"], "Period": metrics[0]["Period"]}
