"""CallQueue and FailedCallQueue in memory as the template defines them, and how SQS and Lambda deliver."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cross_account_access.templates import ACCOUNTS, REGION, resolved
from cross_account_lab.judge.loopback import Response, json_response
from cross_account_lab.judge.sigv4 import Request

if TYPE_CHECKING:
    from tests.wire.faults.environment import Invocation

FAILED_URL = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNTS['b']}/FailedCallQueue"


def receives(**parameters: str) -> int:
    """Return how often the template lets a queued call be received."""
    count: int = resolved("b", **parameters)["Resources"]["CallQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
    return count


RECEIVES = receives()
UNKEYED_RECEIVES = receives(ApiIgnoresIdempotencyKeys="true")
_BATCH: int = next(
    resource["Properties"]["BatchSize"]
    for resource in resolved("b")["Resources"].values()
    if resource["Type"] == "AWS::Lambda::EventSourceMapping"
)


@dataclass
class Message:
    """A message.

    Attributes:
        reason: Why the function has moved it to FailedCallQueue; empty if SQS did.
        uncertain: Whether the API may have carried out the call.
        received: How often it was received.
    """

    body: str
    reason: str = ""
    uncertain: bool = False
    received: int = 0


class Queues:
    """Both queues of a consumer.

    Args:
        receives: How often a message is received at most.
    """

    def __init__(self, receives: int) -> None:
        self._receives = receives
        self._calls: list[Message] = []
        self.failed: list[Message] = []

    def respond(self, request: Request) -> Response:
        """Handle SendMessage, with which the function moves calls to FailedCallQueue itself."""
        sent = json.loads(request.body)
        assert (request.values("x-amz-target"), sent["QueueUrl"]) == (["AmazonSQS.SendMessage"], FAILED_URL)
        attributes = {name: value["StringValue"] for name, value in sent["MessageAttributes"].items()}
        self.failed.append(Message(sent["MessageBody"], attributes["ErrorCode"], attributes["Uncertain"] == "true"))
        return json_response(200, {"MessageId": "1"})

    def put(self, *bodies: str) -> None:
        """Put messages into CallQueue."""
        self._calls += map(Message, bodies)

    def deliver(self, invoke: Callable[[Any], "Invocation"]) -> "list[Invocation]":
        """Poll CallQueue like Lambda until it is empty.

        A failed message becomes visible again, at once instead of after the visibility timeout, and moves to
        FailedCallQueue after its last receive.
        See https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
        """
        invocations = []
        while self._calls:
            batch = {f"message-{number}": message for number, message in enumerate(self._calls[:_BATCH])}
            del self._calls[:_BATCH]
            for message in batch.values():
                message.received += 1
            invocation = invoke({"Records": [_record(name, message) for name, message in batch.items()]})
            invocations.append(invocation)
            failures = batch if invocation.error else _failures(invocation.result)
            for message in [batch[name] for name in failures]:
                (self._calls if message.received < self._receives else self.failed).append(message)
        return invocations

    def replay(self, *, uncertain: bool = True) -> None:
        """Move failed calls back, as `aws sqs start-message-move-task` does: a new message with the same body.

        Args:
            uncertain: Whether to include those that the API may have carried out.

        See https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
        """
        chosen = [message for message in self.failed if uncertain or not message.uncertain]
        self.failed = [message for message in self.failed if message not in chosen]
        self.put(*(message.body for message in chosen))


def _failures(result: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in result["batchItemFailures"]]


def _record(identifier: str, message: Message) -> dict[str, Any]:
    """Return a message as in the event of a Lambda function: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html."""
    return {
        "messageId": identifier,
        "receiptHandle": identifier,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.received)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNTS['b']}:CallQueue",
        "awsRegion": REGION,
    }
