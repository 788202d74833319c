"""Deliveries of calls and their outcomes: each docstring is a row in docs/faults.md."""

import json
import random
from collections import Counter

import pytest

from cross_account_lab.judge.gateway import gateway_error
from cross_account_lab.judge.loopback import Exchange, RequestFault, always, json_response, once
from tests.wire.faults import faults
from tests.wire.faults.environment import TIMED_OUT
from tests.wire.faults.queues import RECEIVES
from tests.wire.faults.testbed import TestBed, order

POISON = [
    "not JSON",
    "",
    "{}",
    '{"path": "//evil.example/orders"}',
    '{"path": "/orders", "method": "POST", "body": {"sku": "x"}}',
    '{"path": "/orders", "retries": 3}',
    '{"path": "/orders", "headers": {"Host": "evil.example"}}',
    '{"path": "/orders", "path": "/whoami"}' + "}",
    "[" * 20_000,
]


def all_done(bed: TestBed, keys: list[str]) -> None:
    """Assert that every call made exactly one order, and that no call is left over."""
    assert bed.ordered() == Counter(keys)
    assert bed.failed() == []


def test_a_call_is_delivered_twice_at_the_same_moment(bed: TestBed) -> None:
    """The same call is delivered twice in one batch: one order."""
    bed.put(order("twin"), order("twin"))
    (batch,) = bed.deliver()
    assert [line["status"] for line in batch.logs] == [201, 201]
    all_done(bed, ["twin"])


def test_an_occurrence_is_delivered_twice_by_the_scheduler(bed: TestBed) -> None:
    """Scheduler delivers one occurrence twice, the second time to another environment: one order, the same response."""
    first = bed.invoke(order("occurrence"))
    bed.environment.stop()
    second = bed.invoke(order("occurrence"))
    assert first.result["body"] == second.result["body"]
    all_done(bed, ["occurrence"])


@pytest.mark.filterwarnings("ignore:No application metrics")  # a killed function emits none
def test_the_function_is_killed_in_the_middle(bed: TestBed) -> None:
    """The function is killed after the order was written: the queue delivers the call again, one order."""
    bed.put(order("killed"))
    killed, delivered = bed.deliver_and_kill()
    assert (killed.error, delivered.error) == (TIMED_OUT, "")
    all_done(bed, ["killed"])


def test_invalid_messages_are_set_aside(bed: TestBed) -> None:
    """Invalid messages mixed with valid calls: the calls succeed, the rest go to FailedCallQueue unchanged."""
    good = [order(f"good-{number}") for number in range(len(POISON))]
    for bad, call in zip(POISON, good, strict=True):
        bed.queues.put(bad or " ", json.dumps(call))
    deliveries = bed.deliver()
    assert sum(delivery.metrics["CallSucceeded"] for delivery in deliveries) == len(good)
    assert {line["error"] for delivery in deliveries for line in delivery.logs if "error" in line} == {
        "InvalidCallError"
    }
    assert sorted(failed.body for failed in bed.queues.failed) == sorted(bad or " " for bad in POISON)
    assert bed.ordered() == Counter(call["idempotency_key"] for call in good)
    assert bed.third_party.requests == []


def test_one_call_of_a_batch_fails(bed: TestBed) -> None:
    """One call of a batch fails: only that call is delivered again."""
    keys = [f"call-{number}" for number in range(10)]
    failures = [gateway_error(503)] * 6

    @RequestFault
    def fail_one(exchange: Exchange) -> None:
        is_chosen = exchange.request.values("idempotency-key") == keys[3:4]
        exchange.send_response(failures.pop() if is_chosen and failures else exchange.respond())

    bed.world.api.inject(always(fail_one))
    bed.put(*map(order, keys))
    first, second = bed.deliver()
    assert (len(first.result["batchItemFailures"]), first.metrics["CallSucceeded"]) == (1, 9)
    assert (len(second.logs), second.metrics["CallSucceeded"]) == (1, 1)
    all_done(bed, keys)


def test_one_call_of_a_batch_is_rejected(bed: TestBed) -> None:
    """The API rejects one call of a batch: it goes to FailedCallQueue at once, unchanged and with the reason."""
    bed.world.api.inject(once(faults.responding(gateway_error(400))))
    bed.put(*(order(f"call-{number}") for number in range(10)))
    (batch,) = bed.deliver()
    assert (batch.result["batchItemFailures"], batch.metrics["CallSucceeded"]) == ([], 9)
    (failed,) = bed.queues.failed
    assert failed.reason == "BadRequestError"
    assert Counter([*bed.ordered().elements(), json.loads(failed.body)["idempotency_key"]]) == Counter(
        f"call-{number}" for number in range(10)
    )


def test_a_rejected_call_cannot_be_moved(bed: TestBed) -> None:
    """The function may not send a rejected call to FailedCallQueue: SQS moves the call after all deliveries."""
    bed.sqs.inject(always(faults.responding(json_response(403, {"__type": "AccessDeniedException"}))))
    bed.put({"path": "/unknown"})
    deliveries = bed.deliver()
    assert len(deliveries) == RECEIVES
    (failed,) = bed.queues.failed
    assert (json.loads(failed.body), failed.reason) == ({"path": "/unknown"}, "")


def test_a_large_response_to_a_queued_call(bed: TestBed) -> None:
    """The response is larger than a function can return: a direct call fails, a queued one succeeds."""
    bed.world.api.inject(always(faults.huge(7_000_000)))
    direct = bed.invoke(order("direct"))
    bed.put(order("queued"))
    (batch,) = bed.deliver()
    assert (direct.error, direct.metrics["CallAttempts"]) == ("ResponseTooLargeError", 1)
    assert (batch.result["batchItemFailures"], batch.metrics["CallSucceeded"]) == ([], 1)
    all_done(bed, ["direct", "queued"])


def test_the_api_slows_callers_down(bed: TestBed) -> None:
    """More calls are queued than the API accepts (429): every call succeeds, later."""
    keys = [f"call-{number}" for number in range(100)]
    throttles = keys * 2

    @RequestFault
    def throttle_twice(exchange: Exchange) -> None:
        (key,) = exchange.request.values("idempotency-key")
        if key in throttles:
            throttles.remove(key)
            exchange.send_response(gateway_error(429))
        else:
            exchange.send_response(exchange.respond())

    bed.world.api.inject(always(throttle_twice))
    bed.put(*map(order, keys))
    deliveries = bed.deliver()
    assert sum(delivery.metrics["CallThrottled"] for delivery in deliveries) == 2 * len(keys)
    assert all(delivery.seconds > 0 for delivery in deliveries)
    all_done(bed, keys)


def test_a_thousand_calls_meet_faults_at_random(bed: TestBed) -> None:
    """1000 queued calls, a random fault in 10 % of all requests: every call makes one order, some after a replay."""
    keys = [f"call-{number}" for number in range(1000)]
    draw = random.Random(2026)  # noqa: S311 - the same faults every time
    mixed: list[RequestFault | None] = [
        faults.reset_after_request,
        faults.reset_after_work,
        faults.cut_head,
        faults.cut_body,
        faults.truncated_json,
        faults.not_json,
        faults.responding(gateway_error(429)),
        faults.responding(gateway_error(500)),
        faults.responding(gateway_error(503, {"Retry-After": "1"})),
        faults.responding(gateway_error(400)),
    ]
    mixed += [None] * 9 * len(mixed)
    bed.world.api.inject(lambda: draw.choice(mixed))
    bed.put(*map(order, keys))
    deliveries = bed.deliver()
    rejected = {failed.body for failed in bed.queues.failed}
    assert {failed.reason for failed in bed.queues.failed} == {"BadRequestError"}
    assert sum(delivery.metrics["CallSucceeded"] for delivery in deliveries) == len(keys) - len(rejected)
    bed.restore()
    bed.queues.replay()
    bed.deliver()
    all_done(bed, keys)


def test_the_api_is_down_for_all_deliveries(bed: TestBed) -> None:
    """The API is down for all deliveries: all calls go to FailedCallQueue, two replays make one order each."""
    keys = [f"call-{number}" for number in range(25)]
    bed.put(*map(order, keys))
    bed.world.api.inject(always(faults.responding(gateway_error(503))))
    deliveries = bed.deliver()
    bed.restore()
    assert sum(delivery.metrics["CallFailed"] for delivery in deliveries) == RECEIVES * len(keys)
    assert Counter(call["idempotency_key"] for call in bed.failed()) == Counter(keys)
    assert not bed.ordered()
    bed.queues.replay()
    bed.deliver()
    all_done(bed, keys)
    bed.put(*map(order, keys))
    bed.queues.replay()
    bed.deliver()
    all_done(bed, keys)
