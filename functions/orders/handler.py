"""The Lambda function behind the API: one route a function.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.content_types import APPLICATION_JSON
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from botocore.config import Config

from orders.errors import as_api_error
from orders.identity import Consumer, identify
from orders.request import correlation_id, listing, order_request
from orders.settings import Settings
from orders.store import Order, OrderRequest, OrderStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings.from_environment()
logger = Logger()
metrics = Metrics()
app = APIGatewayRestResolver(debug=False)  # Debugging would print whole events, whatever the environment asks for.

# A call takes at most 7 s. When placing an order fails, one more call frees its idempotency record, and the function's
# 15 s must hold both.
dynamodb = boto3.client(
    "dynamodb",
    config=Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2}),
)
store = OrderStore(dynamodb, settings.orders_table)


def count(metric: str) -> None:
    """Add one to a metric.

    Args:
        metric: Its name: a noun and what became of it.
    """
    metrics.add_metric(name=metric, unit=MetricUnit.Count, value=1)


def replay(response: Any, idempotent_data: "DataRecord") -> Any:  # noqa: ARG001 - Powertools names the parameters
    """Answer a repeated POST as the first one was answered.

    Args:
        response: That answer.
        idempotent_data: The record that holds it.

    Returns:
        The answer.
    """
    count("OrderReplayed")
    return response


idempotency = IdempotencyConfig(
    event_key_jmespath="[account_id, idempotency_key]",
    payload_validation_jmespath="[sku, quantity]",
    # A day more than SQS keeps a message, so that a call replayed from a dead-letter queue still meets its record.
    expires_after_seconds=15 * 24 * 60 * 60,
    hash_function="sha256",
    response_hook=replay,
)


@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="request",
    config=idempotency,
    persistence_store=DynamoDBPersistenceLayer(settings.idempotency_table, boto3_client=dynamodb),
    key_prefix="orders",
)
def place(*, request: OrderRequest) -> dict[str, Any]:
    """Place an order, once for each of a consumer's idempotency keys.

    The record answers repeated requests and holds back simultaneous ones. Should it be lost, the order's own id, made
    from the same key, still prevents a second order.

    Args:
        request: What to order.

    Returns:
        The order.

    Raises:
        IdempotencyKeyReusedError: The key was used for another order.
        IdempotencyValidationError: The same, as the record tells it.
        IdempotencyAlreadyInProgressError: The same request is being worked on.
        IdempotencyPersistenceLayerError: The record cannot be read or written.
    """
    order = Order.accept(request)
    stored = store.put(request.account_id, order)
    count("OrderAccepted" if stored == order else "OrderReplayed")
    return asdict(stored)


def authenticate(app: APIGatewayRestResolver, next_middleware: Callable[..., Response[Any]]) -> Response[Any]:
    """Let consumers pass, and name them in the log.

    Args:
        app: The resolver, with the request at hand.
        next_middleware: What handles the request.

    Returns:
        Its response.

    Raises:
        ForbiddenError: The caller is not a consumer.
    """
    consumer = identify(app.current_event.request_context.identity, settings.executor_role_id)
    logger.append_keys(consumer_account=consumer.account_id, session_name=consumer.session_name)
    app.context["consumer"] = consumer
    return next_middleware(app)


app.use([authenticate])


def current_consumer() -> Consumer:
    """Tell whose request is being handled.

    Returns:
        The consumer that passed `authenticate`.
    """
    return cast("Consumer", app.context["consumer"])


@app.get("/whoami")
def whoami() -> dict[str, Any]:
    """Tell callers who they are to this API.

    Returns:
        The consumer, and the id of the request.
    """
    return {**asdict(current_consumer()), "request_id": app.current_event.request_context.request_id}


@app.post("/orders", status_code=201)
def create_order() -> dict[str, Any]:
    """Place an order.

    Returns:
        The order.
    """
    request = order_request(app.current_event, current_consumer().account_id)
    return cast("dict[str, Any]", place(request=request))


@app.get("/orders")
def list_orders() -> dict[str, Any]:
    """List the consumer's orders, newest first.

    Returns:
        A page of orders, and the cursor of the next.
    """
    return asdict(store.page(current_consumer().account_id, **listing(app.current_event)))


@app.get("/orders/<order_id>")
def get_order(order_id: str) -> dict[str, Any]:
    """Show an order.

    Args:
        order_id: The order's id.

    Returns:
        The order.
    """
    return asdict(store.get(current_consumer().account_id, order_id))


@app.delete("/orders/<order_id>")
def cancel_order(order_id: str) -> dict[str, Any]:
    """Cancel an order, as often as asked.

    Args:
        order_id: The order's id.

    Returns:
        The cancelled order.
    """
    order = store.cancel(current_consumer().account_id, order_id)
    count("OrderCancelled")
    return asdict(order)


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def refuse(error: Exception) -> Response[dict[str, Any]]:
    """Answer a request that failed.

    Args:
        error: Why it failed.

    Returns:
        The error in the API's form. It tells nothing of the inside; the log does.
    """
    answer = as_api_error(error)
    logger.append_keys(error_code=answer.code)
    if answer.status >= 500:
        logger.error("request failed", exc_info=error)
    return Response(
        status_code=answer.status,
        content_type=APPLICATION_JSON,
        headers={"Retry-After": str(answer.retry_after)} if answer.retry_after else None,
        body={
            "error": {
                "code": answer.code,
                "message": str(answer),
                "request_id": app.current_event.request_context.request_id,
            }
        },
    )


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False, clear_state=True)  # Events hold bodies and session tokens.
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request that API Gateway has authorized.

    Args:
        event: The request as a REST API sends it to a Lambda proxy integration.
        context: The invocation; its remaining time limits how long an order counts as in progress.

    Returns:
        The response in the form that API Gateway expects.
    """
    started = perf_counter()
    request = APIGatewayProxyEvent(event)
    logger.append_keys(request_id=request.request_context.request_id, correlation_id=correlation_id(request))
    idempotency.register_lambda_context(context)
    response = app.resolve(event, context)
    status = response["statusCode"]
    count("RequestFailed" if status >= 500 else "RequestRefused" if status >= 400 else "RequestServed")
    logger.info(
        "request",
        route=f"{request.http_method} {request.request_context.resource_path}",
        status=status,
        duration_ms=round((perf_counter() - started) * 1000, 1),
        user_arn=request.request_context.identity.user_arn,
    )
    return response
