"""Every event of events/ in the real runtime, with real signatures and the functions' own roles."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cross_account_access.templates import ACCOUNTS, PROJECT
from cross_account_lab.accounts import ACCOUNT_B
from cross_account_lab.containers.lab import ContainerLab
from tests.lab.containers.variants import Invoke

EVENTS = {path.name: json.loads(path.read_text()) for path in (PROJECT / "events").glob("*.json")}
ORDER_ID = "6bd52eb6-dbcc-5f23-bcca-79864b5bbcd6"


def body(answer: dict[str, Any]) -> Any:
    return json.loads(answer["body"])


def test_every_event_has_a_test_here() -> None:
    source = (PROJECT / "tests/lab/containers/orders/test_events.py").read_text()
    assert [name for name in EVENTS if source.count(f'"{name}"') == 0] == []


@pytest.fixture(scope="module")
def order(backend: Invoke) -> dict[str, Any]:
    """The response to the event that creates an order."""
    response: dict[str, Any] = backend(EVENTS["api-create-order.json"])
    return response


def test_the_backend_shows_who_calls(backend: Invoke) -> None:
    answer = backend(EVENTS["api-whoami.json"])
    assert answer["statusCode"] == 200
    assert body(answer) == {
        "account_id": ACCOUNTS["b"],
        "session_name": f"{ACCOUNTS['b']}-orders-caller",
        "request_id": EVENTS["api-whoami.json"]["requestContext"]["requestId"],
    }


def test_the_backend_creates_an_order_once(backend: Invoke, order: dict[str, Any]) -> None:
    assert order["statusCode"] == 201
    assert body(order)["order_id"] == ORDER_ID
    assert body(backend(EVENTS["api-create-order.json"])) == body(order)


def test_the_backend_refuses_a_bad_body(backend: Invoke) -> None:
    answer = backend(EVENTS["api-bad-body.json"])
    assert answer["statusCode"] == 400
    assert body(answer)["error"]["code"] == "invalid_body"


def test_the_backend_shows_an_order_to_its_consumer_only(backend: Invoke, order: dict[str, Any]) -> None:
    assert body(backend(EVENTS["api-get-order.json"])) == body(order)
    other = backend(EVENTS["api-other-consumer.json"])
    assert other["statusCode"] == 404
    assert body(other)["error"]["code"] == "order_not_found"


def test_the_backend_lists_orders(backend: Invoke, order: dict[str, Any]) -> None:
    answer = backend(EVENTS["api-list-orders.json"])
    assert answer["statusCode"] == 200
    assert body(order) in body(answer)["orders"]


def test_the_backend_cancels_an_order(backend: Invoke, order: dict[str, Any]) -> None:
    answer = backend(EVENTS["api-cancel-order.json"])
    assert answer["statusCode"] == 200
    assert body(answer) == {**body(order), "status": "cancelled"}


def test_a_direct_call_reaches_the_backend_in_its_container(caller: Invoke) -> None:
    answer = caller(EVENTS["direct-call.json"])
    assert answer["status"] == 200
    assert set(answer["body"]) == {"orders", "next_cursor"}


def test_a_scheduled_call_and_its_failed_copy_make_one_order(caller: Invoke) -> None:
    scheduled = caller(EVENTS["scheduled-call.json"])
    assert scheduled["status"] == 201
    assert scheduled["body"]["sku"] == "oolong"
    replayed = caller(EVENTS["destination-envelope.json"])
    assert replayed["body"] == scheduled["body"]


def test_a_batch_of_queued_calls_succeeds(caller: Invoke) -> None:
    assert caller(EVENTS["sqs-batch.json"]) == {"batchItemFailures": []}


def test_the_invalid_messages_of_a_batch_are_kept_at_once(caller: Invoke, containers: ContainerLab) -> None:
    event = EVENTS["call-sqs-poison.json"]
    assert caller(event) == {"batchItemFailures": []}

    sqs = containers.lab.session(ACCOUNT_B).client("sqs")
    queue_url = containers.lab.outputs[ACCOUNT_B]["FailedCallQueueUrl"]
    kept = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(message["Body"] for message in kept) == sorted(record["body"] for record in event["Records"][1:])


def test_odd_messages_are_kept_as_well(caller: Invoke) -> None:
    assert caller(EVENTS["call-sqs-odd.json"]) == {"batchItemFailures": []}


def test_a_backend_that_is_set_up_wrongly_does_not_start(backend: Invoke) -> None:
    payload = backend({}, "WrongSettings")
    assert payload["errorType"] == "ValueError"
    assert payload["errorMessage"] == (
        "environment variable EXECUTOR_ROLE_IDS must match AROA[A-Z0-9]+(,AROA[A-Z0-9]+)*,?, not 'ExecutorRole'"
    )
