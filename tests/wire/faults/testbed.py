"""Both accounts: a provider, and a consumer with its function and queues."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from moto import mock_aws

from cross_account_access.templates import resolved
from cross_account_lab.judge.gateway import Gateway, gateway_error
from cross_account_lab.judge.loopback import HOST, Exchange, RequestFault, Response, Server, once
from cross_account_lab.judge.sigv4 import Request
from cross_account_lab.judge.sts import CALLER_ENVIRONMENT, REGION, Sts
from tests.support.certificates import Authority
from tests.wire.faults.backend import STAGE, Backend, KilledError, in_memory
from tests.wire.faults.environment import Environment, Invocation, fork_server
from tests.wire.faults.queues import RECEIVES, UNKEYED_RECEIVES, Queues

_consumers = itertools.count(222222000001)


@dataclass(frozen=True)
class Shared:
    """What test beds share.

    Attributes:
        authority: The authority of all servers' certificates.
        bundle: The file with its certificate.
        fork_server: The socket of the process that forks execution environments.
        backend: What is behind every API.
    """

    authority: Authority
    bundle: Path
    fork_server: Path
    backend: Backend

    @property
    def folder(self) -> Path:
        """Where these files are."""
        return self.fork_server.parent

    @classmethod
    @contextmanager
    def create(cls, folder: Path, deploy: Callable[[], AbstractContextManager[Backend]] = in_memory) -> Iterator[Self]:
        """Deploy the backend and start the fork server, with files in a folder; AWS's other services are moto's."""
        authority = Authority()
        bundle = folder / "authority.pem"
        authority.write(bundle)
        with mock_aws(), deploy() as backend, fork_server(folder) as socket:
            yield cls(authority, bundle, socket, backend)


class Provider:
    """Account A: STS and the API, each a real HTTPS server on loopback.

    Attributes:
        gateway: Accepts or refuses the requests to the API.
        sessions: Issues sessions.
        api: The server of the API.
        sts: The server of STS.
    """

    def __init__(self, authority: Authority, backend: Backend, *, ignores_keys: bool) -> None:
        self._backend = backend
        self._ignores_keys = ignores_keys
        self.gateway = Gateway(integration=self._invoke)
        self.sessions = Sts(self.gateway.keys)
        self.api = Server(self.gateway, authority.tls(HOST))
        self.sts = Server(self.sessions, authority.tls(HOST))
        self.gateway.regions[f"{HOST}:{self.api.port}"] = REGION

    def revoke_sessions(self) -> None:
        """Deny everything to all sessions issued so far.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
        """
        self.gateway.revoked |= self.gateway.keys.keys()

    def expire_sessions(self) -> None:
        """End all sessions issued so far, before the time that STS gave."""
        now = datetime.now(UTC)
        for access_key, session in list(self.gateway.keys.items()):
            self.gateway.keys[access_key] = replace(session, expires=now)

    def _invoke(self, request: Request, access_key: str) -> Response:
        if self._ignores_keys:
            # Like an API without idempotency: two requests with the same key are two orders.
            headers = [item for item in request.headers if item[0] != "idempotency-key"]
            request = replace(request, headers=(*headers, ("idempotency-key", str(uuid.uuid4()))))
        try:
            return self._backend.respond(request, self.sessions.names[access_key])
        except KilledError:
            return gateway_error(502)


def order(key: str, **more: Any) -> dict[str, Any]:
    """Return a call that orders a SKU named like its key, so that orders can be distinguished without their ids."""
    return {"method": "POST", "path": "/orders", "body": {"sku": key}, "idempotency_key": key} | more


class TestBed:
    """A provider, and one of its consumers.

    Args:
        receives: How often a queued call is received at most; by default as the template says.
        ignores_keys: Whether the API ignores idempotency keys.

    Attributes:
        account: The consumer's account id.
        third_party: A server of another owner, with a valid certificate.
        queues: The consumer's queues.
        environment: The execution environment of the consumer's function.
    """

    __test__ = False

    def __init__(self, shared: Shared, *, receives: int | None = None, ignores_keys: bool = False) -> None:
        self.shared = shared
        self.authority = shared.authority
        self.account = str(next(_consumers))
        self.provider = Provider(shared.authority, shared.backend, ignores_keys=ignores_keys)
        self.third_party = Server(lambda _: Response(200), shared.authority.tls(HOST))
        self.queues = Queues(self.account, UNKEYED_RECEIVES if ignores_keys else receives or RECEIVES)
        self.sqs = Server(self.queues.respond, shared.authority.tls(HOST))
        self._ignores_keys = ignores_keys
        self.environment = self.new_environment()

    def new_environment(self, **variables: str) -> Environment:
        """Return an execution environment as the template defines it, with some variables changed."""
        function = resolved("b", ApiUrl=self.provider.api.url + STAGE)["Resources"]["CallerFunction"]
        properties = function["Properties"]
        given = (
            properties["Environment"]["Variables"]
            | CALLER_ENVIRONMENT
            | {
                "SESSION_NAME": f"{self.account}-orders-caller",
                "AWS_ENDPOINT_URL_STS": self.provider.sts.url,
                "AWS_ENDPOINT_URL_SQS": self.sqs.url,
                "FAILED_CALL_QUEUE_URL": self.queues.failed,
                "API_IGNORES_IDEMPOTENCY_KEYS": str(self._ignores_keys).lower(),
                "AWS_CA_BUNDLE": str(self.shared.bundle),
            }
        )
        given = {name: str(value) for name, value in (given | variables).items()}
        return Environment(self.shared.fork_server, given, properties["Timeout"])

    def restart(self, **variables: str) -> None:
        """Replace the execution environment."""
        self.environment.stop()
        self.environment = self.new_environment(**variables)

    def invoke(self, event: Any) -> Invocation:
        return self.environment.invoke(event)

    def put(self, *calls: dict[str, Any]) -> None:
        self.queues.put(*map(json.dumps, calls))

    def deliver(self) -> list[Invocation]:
        return self.queues.deliver(self.invoke)

    def deliver_and_kill(self) -> list[Invocation]:
        """Deliver, and kill the function when the API has done the work of the first call, and has not responded."""
        working = threading.Event()

        @RequestFault
        def work_and_stall(exchange: Exchange) -> None:
            exchange.respond()
            working.set()
            exchange.stall()

        def kill() -> None:
            assert working.wait(120)
            self.environment.kill()

        self.provider.api.inject(once(work_and_stall))
        killer = threading.Thread(target=kill)
        killer.start()
        deliveries = self.deliver()
        killer.join()
        return deliveries

    def ordered(self) -> list[str]:
        """Return the SKU of every order that the consumer has."""
        return self.shared.backend.ordered(self.account)

    def failed(self) -> list[dict[str, Any]]:
        """Return the calls in FailedCallQueue."""
        return [json.loads(failed.body) for failed in self.queues.waiting()]

    def stop(self) -> None:
        with ExitStack() as stack:
            for resource in (self.environment, self.provider.api, self.provider.sts, self.sqs, self.third_party):
                stack.callback(resource.stop)
