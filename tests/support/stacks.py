"""Stacks deployed by CloudFormation alone, in a tenth of the time of `sam deploy`."""

import json
from collections.abc import Mapping, Sequence

import boto3

from cross_account_lab import workarounds
from cross_account_lab.accounts import ACCOUNT_A, ACCOUNT_B, ACCOUNT_IDS
from cross_account_lab.lab import STACK_NAMES, Lab
from cross_account_lab.sam import stack_outputs
from tests.support.waiting import eventually


def create(session: boto3.Session, name: str, template: str, parameters: Mapping[str, str] = {}) -> dict[str, str]:
    """Create a stack and return its outputs."""
    session.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=template,
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    return _finished(session, name, "CREATE_COMPLETE")


def grant(lab: Lab, name: str, account: str, arns: Sequence[str], external_id: str) -> dict[str, str]:
    """Create an access stack that lets an account call the methods with these ARNs, and return its outputs."""
    asked = {"ConsumerAccountIds": ACCOUNT_IDS[account], "ExternalId": external_id, "GrantedMethodArns": ",".join(arns)}
    template = (lab.sam.folder / "template-access.yaml").read_text()
    return create(lab.session(ACCOUNT_A), name, template, workarounds.completed(asked))


def template_of(session: boto3.Session, name: str) -> str:
    """Return the template of a stack, as the emulator has transformed it."""
    return json.dumps(session.client("cloudformation").get_template(StackName=name)["TemplateBody"])


def change(session: boto3.Session, name: str, parameters: Mapping[str, str], template: str = "") -> dict[str, str]:
    """Change parameters of a stack, or its template, and return its outputs; what is not given stays."""
    cloudformation = session.client("cloudformation")
    [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    cloudformation.update_stack(
        StackName=name,
        **({"TemplateBody": template} if template else {"UsePreviousTemplate": True}),
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": parameters[key]}
            if key in parameters
            else {"ParameterKey": key, "UsePreviousValue": True}
            for key in (parameter["ParameterKey"] for parameter in stack["Parameters"])
        ],
    )
    return _finished(session, name, "UPDATE_COMPLETE")


def update(lab: Lab, account: str, **parameters: str) -> None:
    """Change parameters of a lab's stack, as `lab.deploy` does; those that are neither given nor the lab's own stay."""
    name, session = STACK_NAMES[ACCOUNT_A if account == ACCOUNT_A else ACCOUNT_B], lab.session(account)
    lab.outputs[account] = change(session, name, lab.parameters(account) | parameters)
    if account != ACCOUNT_A:
        workarounds.complete_consumer(session, lab.outputs[account])


def _finished(session: boto3.Session, name: str, status: str) -> dict[str, str]:
    def found() -> str:
        [stack] = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return "" if stack["StackStatus"].endswith("_IN_PROGRESS") else stack["StackStatus"]

    assert eventually(found) == status
    return stack_outputs(session, name)
