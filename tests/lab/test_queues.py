"""Queued calls and failed calls: each is done once, or kept unchanged, also over connections that break at random."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from cross_account_access.project import PROJECT
from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.lab import Lab
from tests.support.stacks import update
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

REFUSED: dict[str, Any] = {"name": "refused", "status": 400}


def post(name: str = "tea", **fields: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/echo", "body": {"name": name}, "idempotency_key": str(uuid4())} | fields


class Queues:
    """Both queues of account B, and what the backend has done."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.sqs: SQSClient = lab.session(ACCOUNT_B).client("sqs")
        self._calls, self._failed = (lab.outputs[ACCOUNT_B][name] for name in ("CallQueueUrl", "FailedCallQueueUrl"))

    def enqueue(self, *bodies: str) -> None:
        for start in range(0, len(bodies), 10):
            entries = enumerate(bodies[start : start + 10])
            self.sqs.send_message_batch(
                QueueUrl=self._calls, Entries=[{"Id": str(number), "MessageBody": body} for number, body in entries]
            )

    def is_empty(self) -> bool:
        """Whether no call waits or is in flight."""
        found = self.sqs.get_queue_attributes(
            QueueUrl=self._calls,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        return not sum(map(int, found["Attributes"].values()))

    def take_failed(self) -> list[str]:
        """Take all failed calls out of their queue, as a move task does."""
        taken = []
        while messages := self.sqs.receive_message(QueueUrl=self._failed, MaxNumberOfMessages=10).get("Messages", []):
            taken += [message["Body"] for message in messages]
            for message in messages:
                self.sqs.delete_message(QueueUrl=self._failed, ReceiptHandle=message["ReceiptHandle"])
        return taken

    def wait_for_failed(self, count: int) -> list[str]:
        taken: list[str] = []

        def take() -> bool:
            taken.extend(self.take_failed())
            return len(taken) >= count

        assert eventually(take), f"{len(taken)} of {count} calls in FailedCallQueue"
        return taken

    def done(self) -> list[str]:
        names: list[str] = self.lab.invoke({"path": "/done"})["body"]["names"]
        return names

    def set_visibility_timeout(self, seconds: str) -> str:
        """Set after how long a failed message is delivered again, and return what it was."""
        found = self.sqs.get_queue_attributes(QueueUrl=self._calls, AttributeNames=["VisibilityTimeout"])["Attributes"]
        self.sqs.set_queue_attributes(QueueUrl=self._calls, Attributes={"VisibilityTimeout": seconds})
        return found["VisibilityTimeout"]


@pytest.fixture(scope="module")
def queues(own_lab: Lab) -> Queues:
    return Queues(own_lab)


def test_only_the_calls_that_fail_are_kept_unchanged(queues: Queues) -> None:
    name = f"mixed-{uuid4()}"
    poison = [
        "this is no JSON",
        '{"path": "/echo",   "colour": "é"}',
        json.dumps(post(body=REFUSED)),
        json.dumps({"method": "DELETE", "path": "/echo/x"}),
    ]
    good = [json.dumps(post(name)) for _ in range(30)]

    queues.enqueue(poison[0], *good[:10], poison[1], *good[10:], *poison[2:])

    assert sorted(queues.wait_for_failed(len(poison))) == sorted(poison)
    assert eventually(queues.is_empty)
    assert queues.done().count(name) == 30


def test_an_asynchronous_call_that_fails_is_kept_and_done_once_it_is_fixed(own_lab: Lab, queues: Queues) -> None:
    name = f"fixed-{uuid4()}"
    call = post(body=REFUSED)
    own_lab.session(ACCOUNT_B).client("lambda").invoke(
        FunctionName=own_lab.outputs[ACCOUNT_B]["CallerFunctionName"],
        InvocationType="Event",
        Payload=json.dumps(call),
    )

    [kept] = queues.wait_for_failed(1)
    message = json.loads(kept)
    # On AWS the message is the call itself, in the emulator an envelope around it; the caller accepts both.
    assert message.get("requestPayload", message) == call

    message.get("requestPayload", message)["body"] = {"name": name}
    queues.enqueue(json.dumps(message))
    assert eventually(lambda: name in queues.done())


def test_the_invalid_messages_of_a_batch_are_kept_at_once(own_lab: Lab, queues: Queues) -> None:
    event = json.loads((PROJECT / "events/call-sqs-poison.json").read_text())
    event["Records"][0]["body"] = json.dumps(post())

    assert own_lab.invoke(event) == {"batchItemFailures": []}

    assert sorted(queues.wait_for_failed(2)) == sorted(record["body"] for record in event["Records"][1:])


# --- A faulty wire ----------------------------------------------------------------------------------------------------


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
def wire(own_lab: Lab, queues: Queues) -> Iterator[Wire]:
    """The proxy, deployed as the API's address; failed messages are delivered again after seconds, not minutes."""
    wire = Wire(own_lab.endpoint)
    update(own_lab, ACCOUNT_B, ApiUrl=own_lab.api_url.replace(own_lab.endpoint, wire.url))
    deployed = queues.set_visibility_timeout("20")
    yield wire
    wire.close()
    queues.set_visibility_timeout(deployed)
    update(own_lab, ACCOUNT_B)


def test_calls_over_a_faulty_wire_are_done_once(queues: Queues, wire: Wire) -> None:
    def done(names: Sequence[str]) -> Counter[str]:
        return Counter(name for name in queues.done() if name in names)

    # Fewer than in tests/wire/faults: here, each concurrent invocation is a process.
    keys = [f"delivery-{number}" for number in range(50)]
    bodies = [json.dumps(post(key, idempotency_key=key)) for key in keys]
    wire.share = 0.1
    queues.enqueue(*bodies)
    assert eventually(queues.is_empty)
    wire.share = 0.0
    assert set(wire.cuts) == {"before the request", "before the response"}

    waiting = queues.take_failed()
    counted = done(keys)
    assert set(counted.values()) == {1}, "none twice"
    assert set(counted) | {json.loads(body)["idempotency_key"] for body in waiting} == set(keys), "none lost"

    # A replay of failed and of successful calls: new messages, the same calls.
    for again in (waiting, bodies[:10]):
        queues.enqueue(*again)
        assert eventually(queues.is_empty)
    assert done(keys) == Counter(keys)
    assert queues.take_failed() == []
