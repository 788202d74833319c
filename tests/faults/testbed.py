"""Both accounts: a consumer with its function and queues, before a provider of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from access.templates import REGION, resolved
from tests.faults import backend
from tests.support.aws.certificates import Authority
from tests.faults.environment import Environment, Invocation, zygote
from tests.faults.speedup import PACE
from tests.faults.account_a import FUNCTION_CREDENTIALS, Provider
from tests.faults.queues import RECEIVES, Queues
from tests.support.aws.loopback import Response, Server

_consumers = itertools.count(222222000001)


@dataclass(frozen=True)
class Ground:
    """What worlds stand on together.

    Attributes:
        authority: Who certifies all servers.
        bundle: The file with its certificate.
        zygote: The socket of the process from which execution environments are forked.
    """

    authority: Authority
    bundle: Path
    zygote: Path

    @classmethod
    @contextmanager
    def laid(cls, folder: Path) -> Iterator[Self]:
        """Lay the ground, with the backend on it; it uses a folder for its files."""
        authority = Authority()
        bundle = folder / "authority.pem"
        authority.write(bundle)
        with backend.deployed(), zygote(folder) as socket:
            yield cls(authority, bundle, socket)


def order(key: str, **more: Any) -> dict[str, Any]:
    """Return the call that orders what nobody else orders, so that orders can be told apart without their ids."""
    return {"method": "POST", "path": "/orders", "body": {"sku": key}, "idempotency_key": key} | more


class World:
    """A provider, and one of its consumers.

    Args:
        ground: What worlds share.
        receives: How often a queued call is tried at most; as the template says unless given.
        pace: By what all durations are divided.

    Attributes:
        authority: Who certifies its servers.
        account: The consumer's account id.
        provider: Account A.
        stranger: A server of somebody else, trusted like the provider's.
        queues: The consumer's queues.
        environment: Where the consumer's function runs.
    """

    def __init__(self, ground: Ground, *, receives: int = RECEIVES, pace: float = PACE) -> None:
        self.ground = ground
        self.authority = ground.authority
        self.account = str(next(_consumers))
        self.provider = Provider(ground.authority)
        self.stranger = Server(ground.authority.tls(), lambda _: Response(200, {}, b""))
        self.queues = Queues(self.account, receives)
        self._pace = pace
        self.environment = self.new_environment()

    def new_environment(self, **variables: str) -> Environment:
        """Return an execution environment as the template defines it, with some variables changed."""
        function = resolved("b", ApiUrl=self.provider.api.url + backend.STAGE)["Resources"]["CallerFunction"]
        properties = function["Properties"]
        given = properties["Environment"]["Variables"] | {
            "SESSION_NAME": f"{self.account}-orders-caller",
            "AWS_LAMBDA_FUNCTION_NAME": "CallerFunction",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": FUNCTION_CREDENTIALS.access_key,
            "AWS_SECRET_ACCESS_KEY": FUNCTION_CREDENTIALS.secret_key,
            "AWS_SESSION_TOKEN": FUNCTION_CREDENTIALS.token,
            "AWS_ENDPOINT_URL_STS": self.provider.sts.url,
            "AWS_CA_BUNDLE": str(self.ground.bundle),
        }
        return Environment(self.ground.zygote, given | variables, properties["Timeout"] / self._pace, self._pace)

    def restart(self, **variables: str) -> None:
        """Go on in a new execution environment."""
        self.environment.stop()
        self.environment = self.new_environment(**variables)

    def invoke(self, event: Any) -> Invocation:
        return self.environment.invoke(event)

    def put(self, *calls: dict[str, Any]) -> None:
        self.queues.put(*map(json.dumps, calls))

    def deliver(self) -> list[Invocation]:
        return self.queues.deliver(self.invoke)

    def ordered(self) -> list[str]:
        """Return the SKU of every order that the consumer has."""
        return backend.ordered(self.account)

    def failed(self) -> list[dict[str, Any]]:
        """Return the calls in FailedCallQueue."""
        return [json.loads(body) for body in self.queues.waiting()]

    def stop(self) -> None:
        self.environment.stop()
        self.provider.stop()
        self.stranger.stop()
        crashes = self.provider.api.crashes + self.provider.sts.crashes
        if crashes:
            raise ExceptionGroup("the suite's own servers failed", crashes)
