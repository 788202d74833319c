"""Queued calls and failed calls: each is done, or kept unchanged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import Lab
from cross_account_lab.sam import PROJECT
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture(scope="module")
def sqs(own_lab: Lab) -> SQSClient:
    return own_lab.session(ACCOUNT_B).client("sqs")


REFUSED: dict[str, Any] = {"name": "refused", "status": 400}


def post(**fields: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/echo", "body": {"name": "tea"}, "idempotency_key": str(uuid4())} | fields


def done(lab: Lab) -> list[str]:
    names: list[str] = lab.invoke({"path": "/done"})["body"]["names"]
    return names


def enqueue(lab: Lab, sqs: SQSClient, *bodies: str) -> None:
    for body in bodies:
        sqs.send_message(QueueUrl=lab.outputs[ACCOUNT_B]["CallQueueUrl"], MessageBody=body)


def take_failed(lab: Lab, sqs: SQSClient, count: int) -> list[str]:
    """Wait for this many failed calls and take them out of the queue."""
    queue_url = lab.outputs[ACCOUNT_B]["FailedCallQueueUrl"]
    taken: list[str] = []

    def take() -> bool:
        for message in sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", []):
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            taken.append(message["Body"])
        return len(taken) >= count

    assert eventually(take), f"{len(taken)} of {count} calls in FailedCallQueue"
    return taken


def depth(lab: Lab, sqs: SQSClient) -> int:
    """Count the messages in CallQueue, including those in flight."""
    attributes = sqs.get_queue_attributes(
        QueueUrl=lab.outputs[ACCOUNT_B]["CallQueueUrl"],
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return sum(map(int, attributes.values()))


def test_a_queued_call_is_done(own_lab: Lab, sqs: SQSClient) -> None:
    name = f"queued-{uuid4()}"
    enqueue(own_lab, sqs, json.dumps(post(body={"name": name})))

    assert eventually(lambda: name in done(own_lab))
    assert eventually(lambda: depth(own_lab, sqs) == 0)


def test_many_queued_calls_are_all_done_once(own_lab: Lab, sqs: SQSClient) -> None:
    name = f"bulk-{uuid4()}"
    enqueue(own_lab, sqs, *(json.dumps(post(body={"name": name})) for _ in range(30)))

    assert eventually(lambda: depth(own_lab, sqs) == 0)
    assert done(own_lab).count(name) == 30


def test_only_the_calls_that_fail_are_kept_unchanged(own_lab: Lab, sqs: SQSClient) -> None:
    name = f"mixed-{uuid4()}"
    poison = [
        "this is no JSON",
        '{"path": "/echo",   "colour": "é"}',
        json.dumps(post(body=REFUSED)),
        json.dumps({"method": "DELETE", "path": "/echo/x"}),
    ]
    good = [json.dumps(post(body={"name": name})) for _ in range(3)]

    enqueue(own_lab, sqs, poison[0], good[0], poison[1], good[1], *poison[2:], good[2])

    assert sorted(take_failed(own_lab, sqs, len(poison))) == sorted(poison)
    assert eventually(lambda: depth(own_lab, sqs) == 0)
    assert done(own_lab).count(name) == 3


def test_an_asynchronous_call_that_fails_is_kept(own_lab: Lab, sqs: SQSClient) -> None:
    call = post(body=REFUSED)
    own_lab.session(ACCOUNT_B).client("lambda").invoke(
        FunctionName=own_lab.outputs[ACCOUNT_B]["CallerFunctionName"],
        InvocationType="Event",
        Payload=json.dumps(call),
    )

    [kept] = take_failed(own_lab, sqs, 1)

    # On AWS the message is the call itself, in the emulator an envelope around it; the caller accepts both.
    assert json.loads(kept).get("requestPayload", json.loads(kept)) == call


def test_a_failed_call_that_was_fixed_is_done_when_replayed(own_lab: Lab, sqs: SQSClient) -> None:
    name = f"fixed-{uuid4()}"
    broken = post(body=REFUSED)
    own_lab.session(ACCOUNT_B).client("lambda").invoke(
        FunctionName=own_lab.outputs[ACCOUNT_B]["CallerFunctionName"],
        InvocationType="Event",
        Payload=json.dumps(broken),
    )
    [kept] = take_failed(own_lab, sqs, 1)

    message = json.loads(kept)
    message.get("requestPayload", message)["body"] = {"name": name}
    enqueue(own_lab, sqs, json.dumps(message))

    assert eventually(lambda: name in done(own_lab))


def test_the_invalid_messages_of_a_batch_are_kept_at_once(own_lab: Lab, sqs: SQSClient) -> None:
    event = json.loads((PROJECT / "events/call-sqs-poison.json").read_text())
    event["Records"][0]["body"] = json.dumps(post())

    assert own_lab.invoke(event) == {"batchItemFailures": []}

    assert sorted(take_failed(own_lab, sqs, 2)) == sorted(record["body"] for record in event["Records"][1:])
