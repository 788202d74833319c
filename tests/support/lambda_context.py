"""The context that Lambda passes to a handler."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LambdaContext:
    """The context of an invocation that begins now.

    Attributes:
        seconds: The function's timeout.
    """

    seconds: float = 30.0
    function_name: str = "function"
    account_id: str = "111111111111"
    aws_request_id: str = "8d0c3a52-0000-4000-8000-000000000000"
    memory_limit_in_mb: int = 512
    started: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108 - a test may replace the clock

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:eu-west-1:{self.account_id}:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        return int((self.started + self.seconds - time.monotonic()) * 1000)
