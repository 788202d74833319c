"""Orders: what consumers ask for and what becomes of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid5

# Made once at random, as the namespace of "<consumer account id>/<idempotency key>" (RFC 9562, section 5.5). With
# another one, a key that is replayed would make a second order.
_ORDER_IDS = UUID("4f8c1d52-7f5e-4f0c-9a55-0f6d6b1f4c5e")


class Status(StrEnum):
    """State of an order."""

    ACCEPTED = "accepted"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A consumer's request for an order, which is done once however often it arrives with the same key."""

    account_id: str
    idempotency_key: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order.

    Attributes:
        order_id: A UUID that is the same whenever the same consumer uses the same idempotency key.
        created_at: When it was accepted, as UTC in ISO 8601 with microseconds; sorts by time.
    """

    order_id: str
    sku: str
    quantity: int
    status: Status
    created_at: str

    @classmethod
    def accept(cls, request: OrderRequest) -> Self:
        """Make the order that fulfils a request, accepted now."""
        return cls(
            order_id=str(uuid5(_ORDER_IDS, f"{request.account_id}/{request.idempotency_key}")),
            sku=request.sku,
            quantity=request.quantity,
            status=Status.ACCEPTED,
            created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a consumer's orders, newest first, and where the next page begins; None after the last."""

    orders: list[Order]
    next_cursor: str | None
