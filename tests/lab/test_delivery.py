"""Queued calls through the deployed stacks, over connections that break at random.

Fewer than in tests/wire/faults, which does a thousand in that time: here, each concurrent invocation is a process.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import Lab
from tests.support.stacks import update
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

CALLS = 50
FAULTY = 0.1


class Wire:
    """A TCP proxy that cuts some connections: before the request arrives, or before the response does.

    It does not terminate TLS and changes no byte, so signatures and certificates stay valid.
    """

    def __init__(self, endpoint: str) -> None:
        url = urlsplit(endpoint)
        self._target = (url.hostname, url.port)
        self._draw = random.Random(2026)  # noqa: S311 - the same faults every time
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"{url.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.share = 0.0
        self.cuts: Counter[str] = Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=[near], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._target) as far, suppress(OSError):
            back = threading.Thread(target=_pump, args=[far, near], daemon=True)
            back.start()
            while data := near.recv(65536):
                cut = self._choose()
                if cut == "before the request":
                    _reset(near)
                    break
                far.sendall(data)
                if cut == "before the response":
                    _reset(near)
                    break
            # The other side has received the whole request and processes it.
            far.shutdown(socket.SHUT_WR)
            back.join()

    def _choose(self) -> str:
        number = self._draw.random()
        if number >= self.share:
            return ""
        cut = "before the request" if number < self.share / 2 else "before the response"
        self.cuts[cut] += 1
        return cut


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def wire(own_lab: Lab) -> Iterator[Wire]:
    """The proxy, deployed as the API's address."""
    wire = Wire(own_lab.endpoint)
    update(own_lab, ACCOUNT_B, ApiUrl=own_lab.api_url.replace(own_lab.endpoint, wire.url))
    yield wire
    wire.close()
    update(own_lab, ACCOUNT_B)


@pytest.fixture
def sqs(own_lab: Lab) -> Iterator[SQSClient]:
    """A client of SQS; failed messages are delivered again after seconds instead of nine minutes."""
    sqs = own_lab.session(ACCOUNT_B).client("sqs")
    queue_url = own_lab.outputs[ACCOUNT_B]["CallQueueUrl"]
    deployed = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": "20"})
    yield sqs
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": deployed["VisibilityTimeout"]})


def done(lab: Lab) -> Counter[str]:
    """Count what the backend has done for this test, by name."""
    names: list[str] = lab.invoke({"path": "/done"})["body"]["names"]
    return Counter(name for name in names if name.startswith("delivery-"))


def put(sqs: SQSClient, queue_url: str, bodies: list[str]) -> None:
    for start in range(0, len(bodies), 10):
        sqs.send_message_batch(
            QueueUrl=queue_url,
            Entries=[
                {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[start : start + 10])
            ],
        )


def take(sqs: SQSClient, queue_url: str) -> list[str]:
    """Take all messages out of a queue, as a move task does."""
    taken: list[str] = []

    def receive() -> list[MessageTypeDef]:
        return sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", [])

    while messages := receive():
        taken += [message["Body"] for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return taken


def is_empty(sqs: SQSClient, queue_url: str) -> bool:
    attributes = sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return not sum(map(int, attributes.values()))


def test_calls_over_a_faulty_wire_are_done_once(own_lab: Lab, wire: Wire, sqs: SQSClient) -> None:
    calls, failed = (own_lab.outputs[ACCOUNT_B][name] for name in ("CallQueueUrl", "FailedCallQueueUrl"))
    keys = [f"delivery-{number}" for number in range(CALLS)]
    bodies = [
        json.dumps({"method": "POST", "path": "/echo", "body": {"name": key}, "idempotency_key": key}) for key in keys
    ]
    wire.share = FAULTY
    put(sqs, calls, bodies)
    assert eventually(lambda: is_empty(sqs, calls))
    wire.share = 0.0
    assert set(wire.cuts) == {"before the request", "before the response"}

    waiting = take(sqs, failed)
    counted = done(own_lab)
    assert set(counted.values()) == {1}, "none twice"
    assert set(counted) | {json.loads(body)["idempotency_key"] for body in waiting} == set(keys), "none lost"

    # A replay of failed and of successful calls: new messages, the same calls.
    for again in (waiting, bodies[:10]):
        put(sqs, calls, again)
        assert eventually(lambda: is_empty(sqs, calls))
    assert done(own_lab) == Counter(keys)
    assert take(sqs, failed) == []
