"""CallQueue and FailedCallQueue as the template defines them, and how SQS and Lambda deliver."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from cross_account_access.templates import ACCOUNTS, REGION, resolved
from cross_account_lab.judge.loopback import Response, json_response
from cross_account_lab.judge.sigv4 import Request

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from tests.wire.faults.environment import Invocation

_RESOURCES = resolved("b")["Resources"]
_SOURCE = next(
    resource["Properties"] for resource in _RESOURCES.values() if resource["Type"] == "AWS::Lambda::EventSourceMapping"
)
RECEIVES: int = _RESOURCES["CallQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
UNKEYED_RECEIVES: int = resolved("b", ApiIgnoresIdempotencyKeys="true")["Resources"]["CallQueue"]["Properties"][
    "RedrivePolicy"
]["maxReceiveCount"]


# moto iterates over all queues to find the dead-letter queue of a new one.
_creating = threading.Lock()


@dataclass(frozen=True)
class FailedCall:
    """A message in FailedCallQueue.

    Attributes:
        reason: Why the function has moved it there; empty if SQS did.
        uncertain: Whether the API may have carried out the call.
    """

    body: str
    reason: str
    uncertain: bool


class Queues:
    """Both queues of a consumer.

    Args:
        name: Prefix of their names.
        receives: How often a message is received at most.
    """

    def __init__(self, name: str, receives: int) -> None:
        self._sqs: SQSClient = boto3.client("sqs", region_name=REGION)
        with _creating:
            self._create(name, receives)

    def _create(self, name: str, receives: int) -> None:
        self.failed = self._sqs.create_queue(QueueName=f"{name}-failed")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self.failed, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": receives}
        self.calls = self._sqs.create_queue(
            QueueName=f"{name}-calls", Attributes={"RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]

    def respond(self, request: Request) -> Response:
        """Handle SendMessage, with which the function moves calls to FailedCallQueue itself."""
        assert request.values("x-amz-target") == ["AmazonSQS.SendMessage"]
        sent = self._sqs.send_message(**json.loads(request.body))
        return json_response(200, {name: value for name, value in sent.items() if name != "ResponseMetadata"})

    def put(self, *bodies: str) -> None:
        """Put messages into CallQueue."""
        for start in range(0, len(bodies), 10):
            batch = bodies[start : start + 10]
            self._sqs.send_message_batch(
                QueueUrl=self.calls,
                Entries=[{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)],
            )

    def deliver(self, invoke: Callable[[Any], Invocation]) -> list[Invocation]:
        """Poll CallQueue like Lambda until it is empty.

        A failed message becomes visible again, at once instead of after the visibility timeout, and moves to
        FailedCallQueue after its last receive.
        See https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
        """
        invocations = []
        while messages := self._receive(self.calls, _SOURCE["BatchSize"], visibility=0):
            invocation = invoke({"Records": [_record(message) for message in messages]})
            invocations.append(invocation)
            if not invocation.error:
                failures = {failure["itemIdentifier"] for failure in invocation.result["batchItemFailures"]}
                self._delete(self.calls, [message for message in messages if message["MessageId"] not in failures])
        return invocations

    def waiting(self) -> list[FailedCall]:
        """Return the messages in FailedCallQueue without removing them."""
        messages: list[MessageTypeDef] = []
        while batch := self._receive(self.failed, 10, visibility=60):
            messages += batch
        for message in messages:
            self._sqs.change_message_visibility(
                QueueUrl=self.failed, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return [_failed_call(message) for message in messages]

    def replay(self, *, uncertain: bool = True) -> None:
        """Move failed calls back, as `aws sqs start-message-move-task` does: a new message with the same body.

        Args:
            uncertain: Whether to include those that the API may have carried out.

        See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
        """
        while messages := self._receive(self.failed, 10, visibility=60):
            chosen = [message for message in messages if uncertain or not _failed_call(message).uncertain]
            self.put(*(message["Body"] for message in chosen))
            self._delete(self.failed, chosen)

    def _receive(self, url: str, count: int, *, visibility: int) -> list[MessageTypeDef]:
        response = self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=count,
            VisibilityTimeout=visibility,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return response.get("Messages", [])

    def _delete(self, url: str, messages: list[MessageTypeDef]) -> None:
        if messages:
            self._sqs.delete_message_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(messages)
                ],
            )


def _failed_call(message: MessageTypeDef) -> FailedCall:
    attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
    return FailedCall(message["Body"], attributes.get("ErrorCode", ""), attributes.get("Uncertain") == "true")


def _record(message: MessageTypeDef) -> dict[str, Any]:
    """Return a message as in the event of a Lambda function.

    See https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNTS['b']}:CallQueue",
        "awsRegion": REGION,
    }
