"""Every call that the client accepts is signed correctly and arrives with exactly the meaning it was given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, unquote_plus

import hypothesis
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import strategies as st

from cross_account_api import __version__
from cross_account_api.call import METHODS, Call
from cross_account_api.errors import InvalidCallError
from cross_account_lab.judge.gateway import Gateway
from cross_account_lab.judge.sigv4 import Credentials, Request
from tests.wire.signing.apis import PLACES, TRACE_ID, Api, FixedCredentials, Place
from tests.wire.signing.events import EVENTS, KEYS

EXAMPLES = 2500


def arrived_query(request: Request) -> list[tuple[str, str]]:
    """Decode a query; the rules of URLs (RFC 3986) and of HTML forms, which API Gateway follows, must agree."""
    _, _, query = request.target.partition("?")
    pairs = [item.partition("=")[::2] for item in query.split("&") if item]
    decoded = [(unquote(name, errors="strict"), unquote(value, errors="strict")) for name, value in pairs]
    assert decoded == [(unquote_plus(name), unquote_plus(value)) for name, value in pairs]
    return decoded


def given_query(event: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, values in event.get("query", {}).items()
        for value in (values if isinstance(values, list) else [values])
    ]


def given_headers(
    event: dict[str, Any], key: tuple[str, str, str | None], correlation_id: str
) -> Iterator[tuple[str, str]]:
    own = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"cross-account-api/{__version__}",
        "x-amzn-trace-id": TRACE_ID,
    }
    if event.get("body") is not None:
        own["content-type"] = "application/json"
    own |= {name.lower(): value for name, value in event.get("headers", {}).items()}
    yield from own.items()
    for name, value in (
        ("idempotency-key", event.get("idempotency_key")),
        ("x-correlation-id", correlation_id),
        ("x-amz-security-token", key[2]),
    ):
        if value:
            yield name, value


# Headers of the connection or the signature, which the verifier checks.
TRANSPORT = {"authorization", "connection", "content-length", "host", "x-amz-content-sha256", "x-amz-date"}


def assert_same_meaning(
    request: Request, place: Place, event: dict[str, Any], key: tuple[str, str, str | None], correlation_id: str
) -> None:
    path, _, _ = request.target.partition("?")
    assert request.method == event.get("method", "GET")
    assert unquote(path, errors="strict") == place.base_path + event["path"]
    assert arrived_query(request) == given_query(event)
    arrived = sorted((name, value) for name, value in request.headers if name not in TRANSPORT)
    assert arrived == sorted(given_headers(event, key, correlation_id))
    if event.get("body") is None:
        assert request.body == b""
    else:
        # As text, since True == 1 == 1.0.
        assert json.dumps(json.loads(request.body)) == json.dumps(event["body"])


def botocore_signature(request: Request, region: str, key: tuple[str, str, str | None]) -> str:
    """Sign the received request again with the AWS SDK for Python."""
    again = AWSRequest(request.method, "https://" + request.values("host")[0] + request.target, data=request.body)
    for name, value in request.headers:
        if name == "host" or name.startswith("x-amz-"):
            again.headers[name] = value
    again.context["timestamp"] = request.values("x-amz-date")[0]
    signer = SigV4Auth(BotocoreCredentials(*key), "execute-api", region)
    signature: str = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    return signature


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.url)
def test_a_call_to_each_kind_of_url(place: Place, apis: list[Api], gateway: Gateway) -> None:
    api = apis[PLACES.index(place)]
    gateway.keys["AKIDEXAMPLE"] = Credentials("secret", "token")
    client = api.client(FixedCredentials("AKIDEXAMPLE", "secret", "token"))
    assert client.get("/whoami").attempts == 1
    assert gateway.received[-1].values("host") == [place.host_header]


def test_accepted_calls_are_signed_and_arrive_as_given(apis: list[Api], gateway: Gateway) -> None:
    outcomes: Counter[str] = Counter()
    methods: Counter[str] = Counter()

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    @hypothesis.given(
        st.sampled_from(apis), KEYS, EVENTS, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=64)
    )
    def holds(api: Api, key: tuple[str, str, str | None], event: dict[str, Any], correlation_id: str) -> None:
        gateway.keys = {key[0]: Credentials(key[1], key[2])}
        gateway.received.clear()
        try:
            call = Call.parse(event)
            response = api.client(FixedCredentials(*key)).send(call, correlation_id=correlation_id)
        except InvalidCallError as error:
            outcomes[error.field.partition(".")[0]] += 1
            return
        assert (response.status, response.attempts) == (200, 1)
        [request] = gateway.received
        assert_same_meaning(request, api.place, event, key, correlation_id)
        assert request.values("authorization")[0].endswith(botocore_signature(request, api.place.region, key))
        outcomes["accepted"] += 1
        methods[call.method] += 1

    holds()
    # The generator makes both valid and invalid calls.
    assert outcomes.keys() == {"accepted", "path", "query", "headers", "body", "idempotency_key"}
    assert outcomes["accepted"] > EXAMPLES / 3, outcomes
    assert methods.keys() == set(METHODS)
