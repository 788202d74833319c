"""Both accounts: a provider with orders in memory, and a consumer with its function and queues."""

import json
import uuid
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cross_account_access.templates import ACCOUNTS, resolved
from cross_account_lab.judge.gateway import gateway_response, refusal
from cross_account_lab.judge.loopback import HOST, Exchange, RequestFault, Response, Server, once
from cross_account_lab.judge.sigv4 import Request
from tests.support.certificates import Authority
from tests.wire.faults.clock import CLOCK, KILL, hang_up, pace
from tests.wire.faults.environment import Environment, Invocation
from tests.wire.faults.queues import FAILED_URL, RECEIVES, UNKEYED_RECEIVES, Queues
from tests.wire.world import STAGE, World


def order(key: str, **more: Any) -> dict[str, Any]:
    """Return a call that orders a SKU named like its key, so that orders can be distinguished without their ids."""
    return {"method": "POST", "path": "/orders", "body": {"sku": key}, "idempotency_key": key} | more


class Backend:
    """Orders in memory, one for each key; or, like an API without idempotency, one for each request.

    Attributes:
        revoked: Access keys of the sessions that a policy denies everything.
    """

    def __init__(self, *, ignores_keys: bool) -> None:
        self._ignores_keys = ignores_keys
        self._orders: dict[str, dict[str, Any]] = {}
        self.revoked: set[str] = set()

    def respond(self, request: Request) -> Response:
        if request.access_key in self.revoked:
            return refusal("AccessDeniedException", "not authorized, with an explicit deny")
        if request.method != "POST":
            found = urlsplit(request.target).path == f"{STAGE}/whoami"
            return gateway_response(200, {}) if found else _error(404, "order_not_found")
        (key,) = request.values("idempotency-key")
        placed = json.loads(request.body)
        if not placed["sku"]:
            return _error(400, "invalid_body")
        key = str(uuid.uuid4()) if self._ignores_keys else key
        stored = self._orders.setdefault(key, placed)  # at once: threads share it
        return gateway_response(201, stored) if stored == placed else _error(422, "idempotency_key_reused")

    def ordered(self) -> Counter[str]:
        """Return how often each SKU was ordered."""
        return Counter(order["sku"] for order in list(self._orders.values()))


def _error(status: int, code: str) -> Response:
    return gateway_response(status, {"error": {"code": code, "message": code, "request_id": "r"}})


class TestBed:
    """A provider, and its consumer.

    Args:
        receives: How often a queued call is received at most; by default as the template says.
        ignores_keys: Whether the API ignores idempotency keys.

    Attributes:
        authority: The authority of all servers' certificates.
        world: Account A.
        ordered: Returns how often each SKU was ordered.
        third_party: A server of another owner, with a valid certificate.
        queues: The consumer's queues.
        environment: The execution environment of the consumer's function.
    """

    __test__ = False

    def __init__(self, authority: Authority, *, receives: int = RECEIVES, ignores_keys: bool = False) -> None:
        self.authority = authority
        tls = authority.tls(HOST)
        self._backend = Backend(ignores_keys=ignores_keys)
        self.ordered = self._backend.ordered
        self.world = World(tls, self._backend.respond)
        self.third_party = Server(lambda _: Response(200), tls)
        self.queues = Queues(UNKEYED_RECEIVES if ignores_keys else receives)
        self.sqs = Server(self.queues.respond, tls)
        properties = resolved("b", ApiUrl=self.world.url)["Resources"]["CallerFunction"]["Properties"]
        variables = (
            properties["Environment"]["Variables"]
            | self.world.environment
            | {
                "SESSION_NAME": f"{ACCOUNTS['b']}-orders-caller",
                "AWS_ENDPOINT_URL_SQS": self.sqs.url,
                "FAILED_CALL_QUEUE_URL": FAILED_URL,
                "API_IGNORES_IDEMPOTENCY_KEYS": str(ignores_keys).lower(),
                "AWS_CA_BUNDLE": str(authority.bundle),
            }
        )
        self.environment = Environment({name: str(value) for name, value in variables.items()}, properties["Timeout"])

    def restore(self) -> None:
        """End whatever fault was injected."""
        self.world.gateway.clock = timedelta()
        CLOCK.unreachable.clear()
        self.world.api.clear()
        self.world.sts.clear()

    def invoke(self, event: Any) -> Invocation:
        return self.environment.invoke(event)

    def put(self, *calls: dict[str, Any]) -> None:
        self.queues.put(*map(json.dumps, calls))

    def deliver(self) -> list[Invocation]:
        return self.queues.deliver(self.invoke)

    def deliver_and_kill(self) -> list[Invocation]:
        """Deliver, and kill the function when the API has done the work of the first call, and has not responded."""

        @RequestFault
        def work_and_kill(exchange: Exchange) -> None:
            exchange.respond()
            with pace(exchange.connection, KILL):
                hang_up(exchange.connection)

        self.world.api.inject(once(work_and_kill))
        return self.deliver()

    def failed(self) -> list[dict[str, Any]]:
        """Return the calls in FailedCallQueue."""
        return [json.loads(message.body) for message in self.queues.failed]

    def revoke_sessions(self) -> None:
        """Deny everything to all sessions issued so far.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
        """
        self._backend.revoked |= self.world.gateway.keys.keys()

    def expire_sessions(self) -> None:
        """End all sessions issued so far, before the time that STS gave."""
        keys = self.world.gateway.keys
        keys |= {name: replace(session, expires=datetime.now(UTC)) for name, session in keys.items()}

    def stop(self) -> None:
        with ExitStack() as stack:
            for stop in (self.environment.stop, self.sqs.stop, self.third_party.stop):
                stack.callback(stop)
            stack.push(self.world)
