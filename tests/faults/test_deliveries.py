"""What may happen to the delivery of a call, and what comes of it: each docstring is a row in docs/operations.md."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter

from tests.faults import faults
from tests.faults.cases import at_api
from tests.faults.environment import TIMED_OUT
from tests.faults.account_a import gateway_error
from tests.faults.queues import RECEIVES
from tests.support.aws.loopback import Exchange, RequestFault, once
from tests.faults.testbed import World, order

POISON = [
    "not JSON",
    "",
    "null",
    "[]",
    '"/whoami"',
    "{}",
    '{"path": 1}',
    '{"path": "//evil.example/orders"}',
    '{"path": "https://evil.example/orders"}',
    '{"path": "/orders", "method": "POST", "body": {"sku": "x"}}',
    '{"path": "/orders", "retries": 3}',
    '{"path": "/orders", "headers": {"Host": "evil.example"}}',
    '{"path": "/orders", "path": "/whoami"}' + "}",
    "[" * 20_000,
    '{"path": "/orders", "query": {"a": 1e999}}',
    '{"path": "/\\ud800"}',
]


def all_done(world: World, keys: list[str]) -> None:
    """Assert that every call is exactly one order, and none is left anywhere."""
    assert Counter(world.ordered()) == Counter(keys)
    assert world.failed() == []


def test_a_call_is_delivered_twice_at_the_same_moment(world: World) -> None:
    """The same call is delivered twice in one batch: one order."""
    world.put(order("twin"), order("twin"))
    (batch,) = world.deliver()
    assert [line["status"] for line in batch.logs] == [201, 201]
    all_done(world, ["twin"])


def test_an_occurrence_is_delivered_twice_by_the_scheduler(world: World) -> None:
    """Scheduler delivers one occurrence twice, the second time to another environment: one order, the same answer."""
    first = world.invoke(order("occurrence"))
    world.restart()
    second = world.invoke(order("occurrence"))
    assert first.result["body"] == second.result["body"]
    all_done(world, ["occurrence"])


def test_the_function_is_killed_in_the_middle(world: World) -> None:
    """The function is killed after the order was written: the queue delivers the call again, one order."""
    working = threading.Event()

    @RequestFault
    def work_and_stall(exchange: Exchange) -> None:
        exchange.respond()
        working.set()
        exchange.stall()

    def kill() -> None:
        assert working.wait(10)
        world.environment.kill()

    world.provider.api.misbehave(once(work_and_stall))
    world.put(order("killed"))
    killer = threading.Thread(target=kill)
    killer.start()
    killed, delivered = world.deliver()
    killer.join()
    assert (killed.error, delivered.error) == (TIMED_OUT, "")
    all_done(world, ["killed"])


def test_poison_is_put_aside(world: World) -> None:
    """Messages that are no calls, among calls: the calls are done, the others wait as they came."""
    good = [order(f"good-{number}") for number in range(len(POISON))]
    for bad, call in zip(POISON, good, strict=True):
        world.queues.put(bad or " ", json.dumps(call))
    deliveries = world.deliver()
    assert sum(delivery.metrics["CallSucceeded"] for delivery in deliveries) == len(good)
    assert {line["error"] for delivery in deliveries for line in delivery.logs if "error" in line} == {
        "InvalidCallError"
    }
    assert sorted(world.queues.waiting()) == sorted(bad or " " for bad in POISON)
    assert Counter(world.ordered()) == Counter(call["idempotency_key"] for call in good)
    assert world.stranger.requests == []


def test_one_call_of_a_batch_fails(world: World) -> None:
    """One call of a batch fails: it alone is delivered again."""
    with at_api(faults.answering(gateway_error(400)))(world, False):
        world.put(*(order(f"call-{number}") for number in range(10)))
        first, second = world.deliver()
    assert (len(first.result["batchItemFailures"]), first.metrics["CallSucceeded"]) == (1, 9)
    assert (len(second.logs), second.metrics["CallSucceeded"]) == (1, 1)
    all_done(world, [f"call-{number}" for number in range(10)])


def test_the_api_slows_callers_down(world: World) -> None:
    """More calls than the API takes are queued (429): every call is done, later."""
    pause, free = 0.05, time.monotonic()

    def choose() -> RequestFault | None:
        nonlocal free
        if time.monotonic() < free:
            return faults.answering(gateway_error(429))
        free = time.monotonic() + pause
        return None

    keys = [f"call-{number}" for number in range(100)]
    world.provider.api.misbehave(choose)
    world.put(*map(order, keys))
    start = time.monotonic()
    deliveries = world.deliver()
    assert sum(delivery.metrics["CallThrottled"] for delivery in deliveries) > 0
    assert time.monotonic() - start >= (len(keys) - 1) * pause
    all_done(world, keys)


def test_a_thousand_calls_meet_faults_at_random(world: World) -> None:
    """1000 queued calls, 10 % of all requests meeting a fault at random: every call is one order, none is left."""
    keys = [f"call-{number}" for number in range(1000)]
    draw = random.Random(2026)  # noqa: S311 - the same faults every time
    mixed = [
        faults.reset_after_request,
        faults.reset_after_work,
        faults.cut_head,
        faults.cut_body,
        faults.truncated_json,
        faults.not_json,
        faults.answering(gateway_error(429)),
        faults.answering(gateway_error(500)),
        faults.answering(gateway_error(503, {"Retry-After": "1"})),
        faults.answering(gateway_error(400)),
    ]
    world.provider.api.misbehave(faults.chances(mixed, 0.1, draw.random))
    deliveries = []
    # moto looks at every message of a queue each time: a long one would take longer than all calls.
    for start in range(0, len(keys), 100):
        world.put(*map(order, keys[start : start + 100]))
        deliveries += world.deliver()
    succeeded = sum(delivery.metrics["CallSucceeded"] for delivery in deliveries)
    failed = sum(delivery.metrics["CallFailed"] for delivery in deliveries)
    assert (succeeded, failed > 0) == (len(keys), True), "only what failed is delivered again"
    all_done(world, keys)


def test_the_api_is_down_for_all_deliveries(world: World) -> None:
    """The API is down until every delivery has failed: all calls wait, two replays make one order each."""
    keys = [f"call-{number}" for number in range(25)]
    world.put(*map(order, keys))
    with at_api(faults.answering(gateway_error(503)))(world, True):
        deliveries = world.deliver()
    assert sum(delivery.metrics["CallFailed"] for delivery in deliveries) == RECEIVES * len(keys)
    assert Counter(call["idempotency_key"] for call in world.failed()) == Counter(keys)
    assert world.ordered() == []
    world.queues.replay()
    world.deliver()
    all_done(world, keys)
    world.put(*map(order, keys))
    world.queues.replay()
    world.deliver()
    all_done(world, keys)
