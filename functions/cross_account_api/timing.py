"""How long things may take, in one place: every duration is an argument of `Client`."""

from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What the client needs of the `time` module, which is the default."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    def time(self) -> float:
        """Return seconds since the epoch."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Durations in seconds.

    Attributes:
        connect: Limit for one connection attempt; a host name may have several addresses, each gets this much.
        read: Limit for one response, from the request's last byte to the response's. HTTP APIs answer for their backend
            after 30 s, REST APIs after 29 s unless the quota was raised; if they stream, after up to 15 minutes.
        idle: A connection that was unused for longer is closed instead of used; NAT gateways drop it after 350 s.
        idle_unrepeatable: The same for a call that must not be sent twice.
        min_attempt: No attempt starts with less time left, since a cold backend could do the work unheard.
        backoff_base: Upper bound of the first pause between attempts; it doubles with each attempt.
        backoff_max: Upper bound of any pause.
        sts_connect: Limit for connecting to STS, which responds within milliseconds or is in trouble.
        sts_read: Limit for one response of STS.
        sts_failure_shared: How long a failed AssumeRole is reused, so that waiting threads do not repeat it in turn.
        session_trusted: A session that was issued less than this ago cannot have been revoked since.
    """

    connect: float = 3.0
    read: float = 30.0
    idle: float = 60.0
    idle_unrepeatable: float = 5.0
    min_attempt: float = 2.0
    backoff_base: float = 0.5
    backoff_max: float = 10.0
    sts_connect: float = 2.0
    sts_read: float = 3.0
    sts_failure_shared: float = 5.0
    session_trusted: float = 60.0
