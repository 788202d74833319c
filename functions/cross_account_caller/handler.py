"""The Lambda function: makes the call that a schedule, a direct invocation or each message of a queue describes."""

import functools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.functions import is_metrics_disabled

from cross_account_api import Call, CallError, Client, Response, SettingsError, Timing, errors
from cross_account_api.client import MAX_CONCURRENCY
from cross_account_api.credentials import open_session
from cross_account_caller import words
from cross_account_caller.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
metrics = Metrics()

MAX_PAYLOAD_BYTES = 6 * 1024 * 1024
"""What a Lambda function can be given and return: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

_MARGIN_SECONDS = 1.0
"""Kept back to log, to emit metrics and to return before Lambda ends the function."""

_PASSING = (errors.ThrottledError, errors.InProgressError, errors.ServerError)
"""Responses of the API that a later delivery may not meet again."""


@dataclass(frozen=True)
class _Outcome:
    """How one call ended: with a response, or with the exception in its place."""

    correlation_id: str
    call: Call | None
    result: Response | Exception
    milliseconds: float


@logger.inject_lambda_context(log_event=False)
@metrics.log_metrics
def handler(event: object, context: "LambdaContext") -> dict[str, Any]:
    """Make the call in the event (see `Call.parse`), or the one in each message if the event comes from SQS.

    The remaining time is the limit for all attempts of all calls.

    Returns:
        The response as `Response.as_json` gives it. For SQS, the messages to deliver again; those that no delivery can
        help are in the queue for failed calls, and so is a scheduled call that the API, which ignores keys, may have
        carried out: nothing is returned for that.

    Raises:
        CallError: The call failed; Lambda reports the type as `errorType`. Not for SQS.

    See https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    deadline = monotonic() + context.get_remaining_time_in_millis() / 1000 - _MARGIN_SECONDS
    match event:
        case {"Records": [{"eventSource": "aws:sqs"}, *_] as records} if all(map(_is_message, records)):
            return _make_calls(records, deadline)
    outcome = _make_call(event, deadline, context.aws_request_id)
    _report(outcome)
    if isinstance(outcome.result, Exception):
        if _is_scheduled(outcome.call) and _park(json.dumps(event), outcome, only_uncertain=True):
            return {}
        raise outcome.result
    return outcome.result.as_json()


def _is_scheduled(call: Call | None) -> bool:
    """Whether it is the schedule's call, by its key: Lambda does not say whether anybody waits for the result."""
    stack = f"{os.environ.get('AWS_REGION')}/{os.environ.get('POWERTOOLS_SERVICE_NAME')}/"
    return call is not None and (call.idempotency_key or "").startswith(stack)


def _is_message(record: object) -> bool:
    match record:
        case {"messageId": str(), "body": str()}:
            return True
    return False


def _make_calls(records: list[dict[str, Any]], deadline: float) -> dict[str, Any]:
    _prepare()
    outcomes = [
        (record, _threads().submit(_make_call, record["body"], deadline, record["messageId"], from_queue=True))
        for record in records
    ]
    failed = []
    for record, future in outcomes:
        outcome = future.result()
        _report(outcome)
        if isinstance(outcome.result, Exception) and not _park(record["body"], outcome):
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _make_call(event: Any, deadline: float, correlation_id: str, *, from_queue: bool = False) -> _Outcome:
    """Make one call, in any thread; log and metrics, which threads share, are left to `_report`."""
    start = monotonic()
    call = None
    result: Response | Exception
    try:
        call = Call.parse_json(event) if from_queue else Call.parse(event, max_body_bytes=MAX_PAYLOAD_BYTES)
        result = client().send(call, deadline=deadline, correlation_id=correlation_id)
        if not from_queue:
            _require_returnable(result)
    except Exception as error:
        if isinstance(error, CallError):
            error.reword(words.FUNCTION)
        result = error
    return _Outcome(correlation_id, call, result, (monotonic() - start) * 1000)


def _require_returnable(response: Response) -> None:
    """Raise unless Lambda can return a response, before it counts as a success."""
    try:
        try:
            size = len(json.dumps(response.as_json(), ensure_ascii=False).encode())
        except (ValueError, RecursionError) as error:
            raise errors.InvalidResponseError(response.request_id) from error
        if size > MAX_PAYLOAD_BYTES:
            raise errors.ResponseTooLargeError(size, MAX_PAYLOAD_BYTES)
    except CallError as error:
        error.attempts, error.throttled = response.attempts, response.throttled
        raise


def _report(outcome: _Outcome) -> None:
    """Log and count how a call ended."""
    call, result = outcome.call, outcome.result
    attempts, throttled = (result.attempts, result.throttled) if isinstance(result, Response | CallError) else (0, 0)
    duration = round(outcome.milliseconds, 1)
    fields = {"correlation_id": outcome.correlation_id, "attempts": attempts, "duration_ms": duration}
    if call:
        fields |= {"method": call.method, "path": call.path, "idempotency_key": call.idempotency_key}
    if isinstance(result, Response | errors.ApiError):
        fields |= {"status": result.status, "api_request_id": result.request_id}

    if is_metrics_disabled():
        metrics.clear_metrics()  # Powertools would keep them, and write them all the same once there are a hundred
    metrics.add_metric("CallDuration", MetricUnit.Milliseconds, outcome.milliseconds)
    metrics.add_metric("CallAttempts", MetricUnit.Count, attempts)
    if attempts > 1:
        metrics.add_metric("CallRetried", MetricUnit.Count, attempts - 1)
    if throttled:
        metrics.add_metric("CallThrottled", MetricUnit.Count, throttled)

    if isinstance(result, Response):
        metrics.add_metric("CallSucceeded", MetricUnit.Count, 1)
        logger.info("call succeeded", extra=fields)
        return
    metrics.add_metric("CallFailed", MetricUnit.Count, 1)
    if isinstance(result, errors.AssumeRoleError):
        metrics.add_metric("AssumeRoleFailed", MetricUnit.Count, 1)
    fields |= {"error": type(result).__name__, "reason": str(result)}
    logger.error("call failed", extra=fields, exc_info=None if isinstance(result, CallError) else result)


def _park(body: str, outcome: _Outcome, *, only_uncertain: bool = False) -> bool:
    """Send a call to the queue for failed calls if another delivery cannot help, and return whether it is there.

    That is so for a call that is refused as it is, and for one that must not be repeated because the API ignores
    idempotency keys and may have received it.
    """
    try:
        settings = Settings.from_environment()
    except SettingsError:
        return False
    error = outcome.result
    if not isinstance(error, CallError):
        return False
    uncertain = settings.api_ignores_idempotency_keys and error.may_have_arrived
    is_refused = isinstance(error, errors.InvalidCallError | errors.ApiError) and not isinstance(error, _PASSING)
    if not settings.failed_call_queue_url or not (uncertain or (is_refused and not only_uncertain)):
        return False
    attributes = {
        "ErrorCode": type(error).__name__,
        "ErrorMessage": str(error)[:1000],
        "Uncertain": str(uncertain).lower(),
    }
    try:
        _sqs().send_message(
            QueueUrl=settings.failed_call_queue_url,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
    except Exception as failure:  # SQS delivers a message again, and Lambda keeps a scheduled call
        reason = errors.one_line(repr(failure))
        logger.warning("call not moved", correlation_id=outcome.correlation_id, error=reason)
        return False
    return True


def create_client() -> Client:
    """Create the client that the environment variables describe."""
    settings = Settings.from_environment()
    return Client(
        settings.api_url,
        role_arn=settings.executor_role_arn or None,
        external_id=settings.external_id,
        session_name=settings.session_name,
        region=settings.api_region,
        api_key=settings.api_key or None,
        api_ignores_idempotency_keys=settings.api_ignores_idempotency_keys,
        timing=Timing(read=settings.api_timeout),
    )


client = functools.cache(create_client)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_CONCURRENCY)


@functools.cache
def _sqs() -> Any:
    return open_session().create_client("sqs")


def _prepare() -> None:
    """Create the client during init, while Lambda grants full CPU. If that fails, each call raises the reason."""
    with suppress(CallError):
        client()


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    _prepare()
