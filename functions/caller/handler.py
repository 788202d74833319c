"""The Lambda function: makes the call that a schedule, a direct invocation or each message of a queue asks for."""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from caller.settings import Settings
from cross_account_api.call import Call
from cross_account_api.client import WORKERS, ApiClient, Tally
from cross_account_api.credentials import ExecutorCredentials
from cross_account_api.errors import ApiError, AssumeRoleError, CallerError
from cross_account_api.response import Answer

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
metrics = Metrics()

_MARGIN_SECONDS = 1.0
"""Kept back to log, to emit metrics and to return before Lambda ends the function."""

_failed_sessions: list[AssumeRoleError] = []


@dataclass(frozen=True)
class _Outcome:
    """How one call ended: with an answer, or with the exception in its place."""

    correlation_id: str
    call: Call | None
    result: Answer | Exception
    tally: Tally
    milliseconds: float


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
def handler(event: object, context: "LambdaContext") -> dict[str, Any]:
    """Make the call in the event, or one for each message if the event comes from SQS.

    Args:
        event: A call (see `Call.parse`), or an SQS event whose message bodies are calls.
        context: Lambda's context; its remaining time is the limit for all attempts of all calls.

    Returns:
        The answer as `Answer.as_json` gives it. For SQS, the messages whose calls failed: these alone are delivered
        again, and end in the dead-letter queue as they came.

    Raises:
        CallerError: The call failed; Lambda shows the type as `errorType`. Not for SQS.

    See https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    deadline = monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    try:
        match event:
            case {"Records": [{"eventSource": "aws:sqs"}, *_] as records}:
                return _make_calls(records, deadline)
        return _report(_make_call(lambda: Call.parse(event), deadline, context.aws_request_id)).as_json()
    finally:
        if _failed_sessions:
            metrics.add_metric("AssumeRoleFailed", MetricUnit.Count, len(_failed_sessions))
            _failed_sessions.clear()


def _make_calls(records: list[dict[str, Any]], deadline: float) -> dict[str, Any]:
    _prepare()
    outcomes = {
        record["messageId"]: _workers().submit(
            _make_call, functools.partial(Call.parse_json, record["body"]), deadline, record["messageId"]
        )
        for record in records
    }

    failed = []
    for message_id, outcome in outcomes.items():
        try:
            _report(outcome.result())
        except Exception:  # reported, and delivered again
            failed.append({"itemIdentifier": message_id})
    return {"batchItemFailures": failed}


def _make_call(parse: Callable[[], Call], deadline: float, correlation_id: str) -> _Outcome:
    """Make one call, in any thread; what is shared between calls (log, metrics) is left to `_report`."""
    start = monotonic()
    tally = Tally()
    call = None
    result: Answer | Exception
    try:
        call = parse()
        result = _client().send(call, deadline, correlation_id=correlation_id, tally=tally)
    except Exception as error:
        result = error
    return _Outcome(correlation_id, call, result, tally, (monotonic() - start) * 1000)


def _report(outcome: _Outcome) -> Answer:
    """Log and count how a call ended, then return its answer or raise its exception."""
    call, result, tally = outcome.call, outcome.result, outcome.tally
    fields = {
        "correlation_id": outcome.correlation_id,
        "attempts": tally.attempts,
        "duration_ms": round(outcome.milliseconds, 1),
    }
    if call:
        fields |= {"method": call.method, "path": call.path, "idempotency_key": call.idempotency_key}
    if isinstance(result, Answer | ApiError):
        fields |= {"status": result.status, "api_request_id": result.request_id}

    metrics.add_metric("CallDuration", MetricUnit.Milliseconds, outcome.milliseconds)
    metrics.add_metric("CallAttempts", MetricUnit.Count, tally.attempts)
    if tally.attempts > 1:
        metrics.add_metric("CallRetried", MetricUnit.Count, tally.attempts - 1)
    if tally.throttled:
        metrics.add_metric("CallThrottled", MetricUnit.Count, tally.throttled)

    if isinstance(result, Answer):
        metrics.add_metric("CallSucceeded", MetricUnit.Count, 1)
        logger.info("call succeeded", extra=fields)
        return result
    metrics.add_metric("CallFailed", MetricUnit.Count, 1)
    fields |= {"error": type(result).__name__, "reason": str(result)}
    logger.error("call failed", extra=fields, exc_info=None if isinstance(result, CallerError) else result)
    raise result


@functools.cache
def _client() -> ApiClient:
    settings = Settings.from_environment()
    credentials = ExecutorCredentials(settings, on_failure=_failed_sessions.append)
    return ApiClient(settings.api_url, settings.api_region, credentials)


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS)


def _prepare() -> None:
    """Make the client before it is needed, and once before many threads need it; each call tells why it cannot be."""
    with suppress(Exception):
        _client()


# Lambda gives the start of an environment a full processor, whatever the function's memory.
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    _prepare()
