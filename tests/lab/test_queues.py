"""Queued calls and failed calls: each is done, or kept unchanged."""

import json
from typing import Any
from uuid import uuid4

import pytest

from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import Lab
from tests.support.waiting import eventually

REFUSED: dict[str, Any] = {"sku": ""}


def post(sku: str = "tea", **fields: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/orders", "body": {"sku": sku}, "idempotency_key": str(uuid4())} | fields


class Queues:
    """Both queues of account B, and what the backend has done."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.sqs = lab.session(ACCOUNT_B).client("sqs")
        self._calls, self._failed = (lab.outputs[ACCOUNT_B][name] for name in ("CallQueueUrl", "FailedCallQueueUrl"))
        assert eventually(self.is_empty)
        self.sqs.purge_queue(QueueUrl=self._failed)  # of what other tests left

    def enqueue(self, *bodies: str) -> None:
        for body in bodies:
            self.sqs.send_message(QueueUrl=self._calls, MessageBody=body)

    def is_empty(self) -> bool:
        """Whether no call waits or is in flight."""
        found = self.sqs.get_queue_attributes(QueueUrl=self._calls, AttributeNames=["All"])["Attributes"]
        return found["ApproximateNumberOfMessages"] == found["ApproximateNumberOfMessagesNotVisible"] == "0"

    def take_failed(self, count: int) -> list[str]:
        """Wait for calls that failed, and take them out of their queue."""
        taken: list[str] = []

        def take() -> bool:
            received = self.sqs.receive_message(QueueUrl=self._failed, MaxNumberOfMessages=10)
            for message in received.get("Messages", []):
                taken.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self._failed, ReceiptHandle=message["ReceiptHandle"])
            return len(taken) >= count

        assert eventually(take), f"{len(taken)} of {count} calls in FailedCallQueue"
        return taken

    def ordered(self) -> list[str]:
        """Return the SKUs of the newest orders."""
        newest = self.lab.invoke({"path": "/orders", "query": {"limit": 100}})["body"]["orders"]
        return [order["sku"] for order in newest]


@pytest.fixture(scope="module")
def queues(lab: Lab) -> Queues:
    return Queues(lab)


def test_only_the_calls_that_fail_are_kept_unchanged(queues: Queues) -> None:
    sku = f"mixed-{uuid4()}"
    poison = [
        "this is no JSON",
        '{"path": "/orders",   "colour": "é"}',
        json.dumps(post(body=REFUSED)),
        json.dumps({"method": "DELETE", "path": "/orders/x"}),
    ]
    good = [json.dumps(post(sku)) for _ in range(12)]

    queues.enqueue(poison[0], *good[:6], poison[1], *good[6:], *poison[2:])

    assert sorted(queues.take_failed(len(poison))) == sorted(poison)
    assert eventually(queues.is_empty)
    assert queues.ordered().count(sku) == 12


def test_an_asynchronous_call_that_fails_is_kept_and_done_once_it_is_fixed(lab: Lab, queues: Queues) -> None:
    sku = f"fixed-{uuid4()}"
    call = post(body=REFUSED)
    name, payload = lab.outputs[ACCOUNT_B]["CallerFunctionName"], json.dumps(call)
    lab.session(ACCOUNT_B).client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)

    [kept] = queues.take_failed(1)
    message = json.loads(kept)
    # On AWS the message is the call itself, in the emulator an envelope around it; the caller accepts both.
    assert message.get("requestPayload", message) == call

    message.get("requestPayload", message)["body"] = {"sku": sku}
    queues.enqueue(json.dumps(message))
    assert eventually(lambda: sku in queues.ordered())
