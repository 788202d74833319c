"""Replays failed calls in a running lab; the emulator lacks StartMessageMoveTask, which does so on AWS."""

from pathlib import Path

from cross_account_lab.accounts import ACCOUNT_B, session
from cross_account_lab.lab import STACK_NAMES
from cross_account_lab.sam import stack_outputs
from cross_account_lab.usage import lab_folder


def run(env_file: Path, consumer: str, stack_name: str = STACK_NAMES[ACCOUNT_B]) -> int:
    """Move the messages that are in a consumer's FailedCallQueue to its CallQueue, and return how many they were."""
    account = session(lab_folder(env_file) / "aws-config", consumer)
    outputs = stack_outputs(account, stack_name)
    source, destination = outputs["FailedCallQueueUrl"], outputs["CallQueueUrl"]
    sqs = account.client("sqs")
    counted = sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["ApproximateNumberOfMessages"])
    waiting = int(counted["Attributes"]["ApproximateNumberOfMessages"])
    # A call that fails again comes back; it is not replayed twice.
    for moved in range(waiting):
        received = sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=1).get("Messages", [])
        if not received:
            return moved
        sqs.send_message(QueueUrl=destination, MessageBody=received[0]["Body"])
        sqs.delete_message(QueueUrl=source, ReceiptHandle=received[0]["ReceiptHandle"])
    return waiting
