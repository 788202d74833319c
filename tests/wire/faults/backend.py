"""Account A's backend: orders in memory, one for each key of a consumer."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from cross_account_lab.judge.loopback import Response, json_response
from cross_account_lab.judge.sigv4 import Request

STAGE = "/v1"


class KilledError(BaseException):
    """Lambda kills the function between two lines; no `except Exception` catches it."""


@dataclass(frozen=True)
class Backend:
    """What is behind the API.

    Attributes:
        respond: Handles a request that API Gateway has accepted from a session of the executor role, by its name.
        ordered: Returns the SKU of every order of a consumer account.
    """

    respond: Callable[[Request, str], Response]
    ordered: Callable[[str], list[str]]


class Memory:
    """Keeps orders by consumer and id, which is made of the idempotency key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: dict[tuple[str, str], dict[str, Any]] = {}

    def respond(self, request: Request, session_name: str) -> Response:
        account, path = session_name[:12], unquote(urlsplit(request.target).path).removeprefix(STAGE)
        if request.method == "POST":
            (key,) = request.values("idempotency-key")
            return self._place(account, key, json.loads(request.body))
        if path == "/whoami":
            return json_response(200, {"account_id": account})
        if path == "/orders":
            return json_response(200, {"orders": self.ordered(account)})
        order = self._orders.get((account, path.rpartition("/")[2]))
        return json_response(200, order) if order else _error(404, "order_not_found")

    def ordered(self, account: str) -> list[str]:
        with self._lock:
            return [order["sku"] for (owner, _), order in self._orders.items() if owner == account]

    def _place(self, account: str, key: str, order: dict[str, Any]) -> Response:
        if not order.get("sku"):
            return _error(400, "invalid_body")
        order_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{account}/{key}"))
        with self._lock:
            stored = self._orders.setdefault((account, order_id), order)
        if stored != order:
            return _error(422, "idempotency_key_reused")
        return json_response(201, {"order_id": order_id, **order})


def _error(status: int, code: str) -> Response:
    return json_response(status, {"error": {"code": code, "message": code, "request_id": "r"}})


@contextmanager
def in_memory() -> Iterator[Backend]:
    """Provide a backend without orders."""
    memory = Memory()
    yield Backend(memory.respond, memory.ordered)
