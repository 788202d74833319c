"""Which requests are refused before anything is done, and which are not."""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mypy_boto3_dynamodb import DynamoDBClient

from tests.unit.orders.support import Api, B

KEY = {"Idempotency-Key": ["key"]}
IN_TEST = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


def cursor_of(position: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


NO_OBJECTS = [
    None,
    "no JSON",
    '\ufeff{"sku": "a"}',
    '["a"]',
    "[" * 100_000,
    f'{{"sku": "a", "quantity": {"9" * 5000}}}',
]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *((body, "the body must be a JSON object such as") for body in NO_OBJECTS),
        ("{}", "field sku is missing"),
        ('{"sku": "a", "price": 1}', 'field "price" is unknown; allowed are sku and quantity'),
        ('{"sku": "a", "sku": "b"}', 'field "sku" is given more than once'),
        ('{"sku": {"a": 1, "a": 2}}', 'field "a" is given more than once'),
        ('{"sku": null}', "field sku must be 1 to 64 letters, digits, dots, _ or -, not null"),
        ('{"sku": "a\\n"}', 'or -, not "a\\n"'),
        ('{"sku": "\\ud800"}', 'or -, not "\\ud800"'),
        (json.dumps({"sku": "a" * 65}), f'or -, not "{"a" * 65}"'),
        (json.dumps({"sku": "a" * 1_000_000}), f'or -, not "{"a" * 76}...'),
        ('{"sku": "a", "quantity": 0}', "field quantity must be a whole number from 1 to 1000, not 0"),
        ('{"sku": "a", "quantity": 1001}', "to 1000, not 1001"),
        ('{"sku": "a", "quantity": 1.5}', "to 1000, not 1.5"),
        ('{"sku": "a", "quantity": 1e400}', "to 1000, not Infinity"),
        ('{"sku": "a", "quantity": true}', "to 1000, not true"),
        ('{"sku": "a", "quantity": "1"}', 'to 1000, not "1"'),
    ],
)
def test_a_bad_body_is_refused(api: Api, dynamodb: DynamoDBClient, body: str | None, message: str) -> None:
    response = api("POST", "/orders", body, headers=KEY)
    assert (response.status, response.code) == (400, "invalid_body")
    assert message in response.message
    assert len(response.message) < 250
    assert dynamodb.scan(TableName="orders")["Count"] == dynamodb.scan(TableName="idempotency")["Count"] == 0


@pytest.mark.parametrize("body", ["%%%", "gA=="])
def test_a_bad_binary_body_is_refused(api: Api, body: str) -> None:
    response = api("POST", "/orders", body, headers=KEY, base64=True)
    assert (response.status, response.code) == (400, "invalid_body")


def test_a_whole_number_is_one_in_either_spelling(api: Api) -> None:
    response = api("POST", "/orders", '{"sku": "a", "quantity": 2.0}', headers=KEY)
    assert (response.status, response.body["quantity"]) == (201, 2)
    repeated = api("POST", "/orders", '{"sku": "a", "quantity": 2}', headers=KEY)
    assert repeated.body == response.body


def test_the_bounds_are_allowed(api: Api) -> None:
    for sku, quantity in (("a", 1), ("A.b_c-9", 2), ("a" * 64, 1000)):
        response = api.order(sku, sku, quantity=quantity)
        assert (response.status, response.body["sku"], response.body["quantity"]) == (201, sku, quantity)
    assert [api.orders(limit=limit).status for limit in ("1", "99", "100")] == [200] * 3


@IN_TEST
@example(b'{"sku": "a"}')
@given(
    st.binary(max_size=40)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sku", "quantity", "x"]), inner, max_size=3)
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_body_is_an_order_or_refused(api: Api, body: bytes) -> None:
    key = {"Idempotency-Key": [base64.b16encode(body).decode()[:200] or "empty"]}
    response = api("POST", "/orders", base64.b64encode(body).decode(), headers=key, base64=True)
    assert response.status == 201 or (response.status, response.code) == (400, "invalid_body")


@pytest.mark.parametrize("values", [None, [""], ["a" * 256], ["é"], ["a\n"], ["a\tb"], ["a\x7f"], ["a", "a"]])
def test_a_bad_idempotency_key_is_refused(api: Api, values: list[str] | None) -> None:
    response = api("POST", "/orders", '{"sku": "a"}', headers={"Idempotency-Key": values} if values else None)
    assert (response.status, response.code) == (400, "invalid_idempotency_key")
    assert "Idempotency-Key must be given once, as 1 to 255 printable ASCII characters" in response.message


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("idempotency-key", "k" * 255),
        ("IDEMPOTENCY-KEY", "arn:aws:scheduler:eu-west-1:2:schedule/<a>/b {c} \"d\" 'e' \\ ~"),
    ],
)
def test_an_idempotency_key_is_any_printable_text(api: Api, name: str, key: str) -> None:
    first = api("POST", "/orders", '{"sku": "a"}', headers={name: [key]})
    assert first.status == 201
    assert api.order(key, "a").body == first.body


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"page": ["2"]}, 'query parameter "page" is unknown; allowed are status, limit and cursor'),
        ({"limit": ["1", "1"]}, "query parameter limit must be given once, not 2 times"),
        ({"limit": ["0"]}, 'query parameter limit must be a whole number from 1 to 100, not "0"'),
        ({"limit": ["101"]}, 'not "101"'),
        ({"limit": ["٣"]}, "not "),
        ({"limit": ["9" * 5000]}, "..."),
        ({"status": ["ACCEPTED"]}, 'query parameter status must be accepted or cancelled, not "ACCEPTED"'),
    ],
)
def test_a_bad_query_is_refused(api: Api, query: dict[str, list[str]], message: str) -> None:
    response = api("GET", "/orders", query=query)
    assert (response.status, response.code) == (400, "invalid_query")
    assert message in response.message


INSTANT, ORDER_ID = "2026-01-15T08:00:00.000000Z", "00000000-0000-5000-8000-000000000000"


@pytest.mark.parametrize(
    "cursor",
    [
        "é",
        base64.urlsafe_b64encode(b"\xff").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        cursor_of([INSTANT, ORDER_ID, B]),
        cursor_of([INSTANT, ""]),
        cursor_of(["", ORDER_ID]),
        cursor_of([INSTANT, ORDER_ID + "\n"]),
        cursor_of([INSTANT, ORDER_ID]) + "!",
        cursor_of([INSTANT, ORDER_ID]).rstrip("=") + "\n",
    ],
)
def test_a_bad_cursor_is_refused(api: Api, cursor: str) -> None:
    response = api.orders(cursor=cursor)
    assert (response.status, response.code) == (400, "invalid_cursor")
