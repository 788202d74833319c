"""Replays failed calls in a running lab; the emulator lacks StartMessageMoveTask, which does so on AWS."""

from __future__ import annotations

from pathlib import Path

from lab.accounts import ACCOUNT_B, session
from lab.lab import STACK_NAMES


class NoLabError(Exception):
    """No lab is running."""


def run(env_file: Path, consumer: str) -> int:
    """Move the messages that are in a consumer's FailedCallQueue to its CallQueue.

    Args:
        env_file: The environment file of the running lab.
        consumer: The account.

    Returns:
        The number of messages.
    """
    config_file = env_file.resolve().parent / "aws-config"
    if not env_file.exists() or not config_file.exists():
        raise NoLabError(f"there is no {env_file}: start a lab with `make lab`")
    account = session(config_file, consumer)
    [stack] = account.client("cloudformation").describe_stacks(StackName=STACK_NAMES[ACCOUNT_B])["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    source, destination = outputs["FailedCallQueueUrl"], outputs["CallQueueUrl"]
    sqs = account.client("sqs")
    # A call that fails again comes back; it is not replayed twice.
    counted = sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["ApproximateNumberOfMessages"])
    remaining = waiting = int(counted["Attributes"]["ApproximateNumberOfMessages"])
    while remaining:
        received = sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=min(remaining, 10)).get("Messages", [])
        if not received:
            break
        for message in received:
            sqs.send_message(QueueUrl=destination, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
        remaining -= len(received)
    return waiting - remaining
