"""Path, correlation id and error form of a request."""

from typing import Any

import pytest

from cross_account_backend import correlation_id, error_body, request_path


@pytest.mark.parametrize(
    ("resource", "parameters", "path"),
    [
        ("/orders", None, "/orders"),
        ("/orders/{order_id}", {"order_id": "a%20b"}, "/orders/a%20b"),
        ("/orders/{order_id}", {"order_id": "{order_id}"}, "/orders/{order_id}"),
        ("/orders/{order_id}", {"order_id": r"\1 \g<0>"}, r"/orders/\1 \g<0>"),
        ("/shops/{shop-id}/orders/{id}", {"shop-id": "s", "id": "{shop-id}"}, "/shops/s/orders/{shop-id}"),
        ("/files/{proxy+}", {"proxy": "a/b.txt"}, "/files/a/b.txt"),
    ],
)
def test_the_path_is_the_resource_with_its_parameters(
    resource: str, parameters: dict[str, str] | None, path: str
) -> None:
    event = {"resource": resource, "pathParameters": parameters, "path": "/shop/whoami"}
    assert request_path(event) == path


@pytest.mark.parametrize(("name", "value"), [("X-Correlation-Id", " "), ("x-correlation-id", "~" * 128)])
def test_the_correlation_id_is_the_header(name: str, value: str) -> None:
    assert correlation_id({"headers": {"Accept": "*/*", name: value}}) == value


@pytest.mark.parametrize(
    "headers", [None, {}, {"Accept": "*/*"}, *({"X-Correlation-Id": value} for value in ("", "é", "a\nb", "~" * 129))]
)
def test_the_correlation_id_is_else_the_request_id(headers: dict[str, str] | None) -> None:
    assert correlation_id({"headers": headers, "requestContext": {"requestId": "id"}}) == "id"


def test_an_error_names_code_message_and_request() -> None:
    event: dict[str, Any] = {"requestContext": {"requestId": "id"}}
    assert error_body(event, "order_not_found", "no such order") == {
        "error": {"code": "order_not_found", "message": "no such order", "request_id": "id"}
    }
