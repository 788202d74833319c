"""The Lambda function behind the API: one function per route.

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
from aws_lambda_powertools.metrics.functions import is_metrics_disabled
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function
from botocore.config import Config

from cross_account_backend import Consumer, correlation_id, error_body, identify, request_path
from orders.errors import as_api_error, is_throttle
from orders.model import Order, OrderRequest
from orders.request import parse_list_query, parse_order_request
from orders.settings import Settings
from orders.store import OrderStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

settings = Settings.from_environment()
logger = Logger()
metrics = Metrics()
app = APIGatewayRestResolver(debug=False)  # True, also from the environment, would print whole events.

# A request takes at most 7 s. When placing an order fails, another one frees its idempotency record, and both must fit
# into the function's 15 s.
config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})
dynamodb = boto3.client("dynamodb", config=config)
store = OrderStore(dynamodb, settings.orders_table)


def count(metric: str) -> None:
    """Add one to a metric, named by a noun and what happened to it."""
    if is_metrics_disabled():
        metrics.clear_metrics()  # Powertools would keep them, and write them all the same once there are a hundred
    metrics.add_metric(name=metric, unit=MetricUnit.Count, value=1)


def count_throttle(parsed_response: dict[str, Any] | None, **_: Any) -> None:
    """Count an attempt that DynamoDB throttled, including those that the SDK retries successfully."""
    if is_throttle(parsed_response):
        count("StoreThrottled")


# Called for every attempt on a table or an index, including those of Powertools. CloudWatch's own metrics are by table
# and by index, and an alarm on them never returns to OK.
dynamodb.meta.events.register("response-received.dynamodb", count_throttle)


def count_replay(response: Any, idempotent_data: "DataRecord") -> Any:  # noqa: ARG001 - Powertools names the parameters
    """Count a repeated POST and respond as to the first one."""
    count("OrderReplayed")
    return response


idempotency = IdempotencyConfig(
    event_key_jmespath="[account_id, idempotency_key]",
    payload_validation_jmespath="[sku, quantity]",
    # A day more than SQS keeps a message, so that a call replayed from a dead-letter queue still finds its record.
    expires_after_seconds=15 * 24 * 60 * 60,
    hash_function="sha256",
    response_hook=count_replay,
)


@idempotent_function(  # type: ignore[untyped-decorator]
    data_keyword_argument="request",
    config=idempotency,
    persistence_store=DynamoDBPersistenceLayer(settings.idempotency_table, boto3_client=dynamodb),
    key_prefix="orders",
)
def place_order(*, request: OrderRequest) -> dict[str, Any]:
    """Place an order, once for each of a consumer's idempotency keys.

    The record provides the response to repeated requests and blocks simultaneous ones. Should it be lost, the order's
    own id, derived from the same key, still prevents a second order.
    """
    order = Order.accept(request)
    stored = store.put(request.account_id, order)
    count("OrderAccepted" if stored == order else "OrderReplayed")
    return asdict(stored)


def authenticate(app: APIGatewayRestResolver, next_middleware: Callable[..., Response[Any]]) -> Response[Any]:
    """Admit only consumers, and add them to the log."""
    consumer = identify(app.current_event.raw_event, settings.executor_role_ids)
    logger.append_keys(consumer_account=consumer.account_id, session_name=consumer.session_name)
    app.context["consumer"] = consumer
    return next_middleware(app)


app.use([authenticate])


def current_consumer() -> Consumer:
    """Return the consumer that passed `authenticate`."""
    return cast("Consumer", app.context["consumer"])


@app.get("/whoami")
def whoami() -> dict[str, Any]:
    """Return the consumer and the id of the request."""
    return {**asdict(current_consumer()), "request_id": app.current_event.request_context.request_id}


@app.post("/orders", status_code=201)
def create_order() -> dict[str, Any]:
    """Place an order."""
    request = parse_order_request(app.current_event, current_consumer().account_id)
    return cast("dict[str, Any]", place_order(request=request))


@app.get("/orders")
def list_orders() -> dict[str, Any]:
    """Return a page of the consumer's orders, newest first."""
    return asdict(store.page(current_consumer().account_id, *parse_list_query(app.current_event)))


@app.get("/orders/<order_id>")
def get_order(order_id: str) -> dict[str, Any]:
    """Return an order."""
    return asdict(store.get(current_consumer().account_id, order_id))


@app.delete("/orders/<order_id>")
def cancel_order(order_id: str) -> dict[str, Any]:
    """Cancel an order; repeating it changes nothing."""
    order = store.cancel(current_consumer().account_id, order_id)
    count("OrderCancelled")
    return asdict(order)


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def handle_error(error: Exception) -> Response[dict[str, Any]]:
    """Respond to a request that failed; internal details go to the log only."""
    failure = as_api_error(error)
    logger.append_keys(error_code=failure.code)
    if failure.status >= 500:
        logger.error("request failed", exc_info=error)
    return Response(
        status_code=failure.status,
        content_type=APPLICATION_JSON,
        headers={"Retry-After": str(failure.retry_after)} if failure.retry_after else None,
        body=error_body(app.current_event.raw_event, failure.code, str(failure)),
    )


@metrics.log_metrics
@logger.inject_lambda_context(log_event=False, clear_state=True)  # Events hold bodies and session tokens.
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Respond to a request that API Gateway has authorized, in the form of a Lambda proxy integration.

    The remaining time of the invocation limits how long an order counts as in progress.
    """
    started = perf_counter()
    # Powertools routes by `path`, which begins with the base path of a custom domain.
    event = event | {"path": request_path(event)}
    request = APIGatewayProxyEvent(event).request_context
    logger.append_keys(request_id=request.request_id, correlation_id=correlation_id(event))
    idempotency.register_lambda_context(context)
    response = app.resolve(event, context)
    status = response["statusCode"]
    count("RequestFailed" if status >= 500 else "RequestRefused" if status >= 400 else "RequestServed")
    logger.info(
        "request",
        route=f"{request.http_method} {request.resource_path}",
        status=status,
        duration_ms=round((perf_counter() - started) * 1000, 1),
        user_arn=request.identity.user_arn,
    )
    return response
