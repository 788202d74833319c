"""Times the backend and a function that only returns the same result, in turns.

It runs like a function in Lambda, with the backend's package and the modules of the runtime. botocore sends nothing:
its event `before-send` returns a response. The result is one line of JSON on standard error.
"""

import cProfile
import json
import pstats
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from orders import handler as orders

_CALLS = 20
_PARTS = re.compile(
    r"/(aws_lambda_powertools/(?:event_handler|logging|metrics|utilities/idempotency|utilities/data_classes|shared)"
    r"|aws_lambda_powertools|botocore|orders|jmespath|logging|json)/"
)
_ITEM = {
    "order_id": {"S": "6bd52eb6-dbcc-5f23-bcca-79864b5bbcd6"},
    "sku": {"S": "ABC-1"},
    "quantity": {"N": "2"},
    "status": {"S": "accepted"},
    "created_at": {"S": "2026-01-15T08:00:00.000000Z"},
}


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> list[bytes]:
        return [self._content]


def dynamodb_response(request: Any, **_: object) -> Any:
    """Respond like DynamoDB: with an order to a read, with nothing to a write."""
    content = json.dumps({"Item": _ITEM} if request.headers["X-Amz-Target"].endswith(b"GetItem") else {}).encode()
    headers = HTTPHeaders.from_pairs([("Content-Type", "application/x-amz-json-1.0")])
    return AWSResponse(request.url, 200, headers, _Body(content))


def bare_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Return an order for a POST or a GET."""
    del context
    order = json.loads(event["body"]) if event["body"] else {"sku": "ABC-1", "quantity": 2}
    order |= {"order_id": _ITEM["order_id"]["S"], "status": "accepted", "created_at": _ITEM["created_at"]["S"]}
    return {
        "statusCode": 201 if event["body"] else 200,
        "body": json.dumps(order, separators=(",", ":")),
        "isBase64Encoded": False,
        "multiValueHeaders": {"Content-Type": ["application/json"]},
    }


def p50(handler: Callable[..., dict[str, Any]], event: dict[str, Any], context: object) -> float:
    """Return the median time of an invocation in milliseconds."""
    times = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        handler(event, context)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def profile(event: dict[str, Any], context: object) -> dict[str, float]:
    """Return each part's share of the handler's own time; built-in functions count for their callers."""
    profiler = cProfile.Profile(builtins=False)
    for _ in range(10 * _CALLS):
        profiler.runcall(orders.handler, event, context)
    shares: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        part = _PARTS.search(file)
        shares[part[1] if part else "standard library"] += own
    return {name: round(own / shares.total(), 3) for name, own in shares.most_common()}


def main(event_file: str, turns: int) -> None:
    """Time both handlers with one event."""
    orders.dynamodb.meta.events.register_first("before-send.dynamodb", dynamodb_response)
    event = json.loads(Path(event_file).read_text(encoding="utf-8"))
    context = SimpleNamespace(
        function_name="function",
        invoked_function_arn="arn:aws:lambda:eu-west-1:111111111111:function:function",
        memory_limit_in_mb="512",
        aws_request_id="00000000-0000-4000-8000-000000000000",
        get_remaining_time_in_millis=lambda: 15_000,
    )
    expected = bare_handler(event, context)
    if orders.handler(event, context)["statusCode"] != expected["statusCode"]:
        raise RuntimeError("the backend and the bare function return different statuses")
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(turns):
        times["ours"].append(p50(orders.handler, event, context))
        times["bare"].append(p50(bare_handler, event, context))
    sys.stderr.write(json.dumps(times | {"profile": profile(event, context)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
