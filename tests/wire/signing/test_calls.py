"""Every call that the client accepts is signed correctly and arrives with exactly the meaning it was given."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

import httpx2
import hypothesis
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import strategies as st

from cross_account_api import Client, __version__
from cross_account_api.call import METHODS, Call
from cross_account_api.endpoint import parse_api_url
from cross_account_api.errors import InvalidCallError
from cross_account_api.transport import Connections
from cross_account_lab.judge.differences import Api
from cross_account_lab.judge.gateway import Gateway
from cross_account_lab.judge.loopback import Server
from cross_account_lab.judge.sigv4 import Credentials, Request
from tests.support.certificates import Authority
from tests.support.hosts import names
from tests.wire.world import KEY, FixedCredentials

EXAMPLES = 500
TRACE_ID = "Root=1-69689f80-0f1e2d3c4b5a69788796a5b4;Parent=53995c3f42cd8ad8;Sampled=1"


@dataclass(frozen=True)
class Place:
    """An API's URL and region as a user gives them, and what follows from them.

    Attributes:
        region: The region to sign for, if the caller's own is `af-south-1`.
    """

    url: str
    region: str
    given_region: str = ""
    service: str = "execute-api"

    @property
    def host_header(self) -> str:
        return urlsplit(self.url).netloc.lower().removesuffix(":443")

    @property
    def base_path(self) -> str:
        """Prefix of every path."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def host(self) -> tuple[str, int]:
        """Host name and port to connect to."""
        url = urlsplit(self.url)
        return str(url.hostname), url.port or {"https": 443, "http": 80}[url.scheme]


PLACES = [
    Place("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1", "eu-west-1"),
    Place("https://a1b2c3d4e5.execute-api.us-gov-west-1.amazonaws.com/v1/", "us-gov-west-1"),
    Place("https://a1b2c3d4e5.execute-api.cn-north-1.amazonaws.com.cn/v1", "cn-north-1"),
    Place("https://a1b2c3d4e5.execute-api-fips.ca-central-1.amazonaws.com/v1", "ca-central-1"),
    Place("https://a1b2c3d4e5.execute-api.ap-southeast-3.api.aws/v1", "ap-southeast-3"),
    Place("https://A1B2C3D4E5.Execute-Api.EU-West-1.amazonaws.com:443/v1", "eu-west-1"),
    Place("https://orders.example.com", "eu-central-2", "eu-central-2"),
    Place("https://orders.example.com:8443/base_path/v1", "af-south-1"),
    Place("https://[::1]:9443/~v1", "mx-central-1", "mx-central-1"),
    Place("http://emulator:4566/_aws/v1", "af-south-1"),
    Place("http://127.0.0.1:8080/v1", "us-east-1", "us-east-1"),
    Place("http://localhost/v1", "af-south-1"),
]
SERVICES = [
    Place(f"https://{host}", "eu-central-1", service=service)
    for service, host in {
        "lambda": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws",
        "appsync": "abcdefghijklmnopqrstuvwxyz.appsync-api.eu-central-1.amazonaws.com",
        "bedrock-agentcore": "bedrock-agentcore.eu-central-1.amazonaws.com",
        "vpc-lattice-svcs": "orders-0123456789abcdef0.7d67968.vpc-lattice-svcs.eu-central-1.on.aws",
    }.items()
]


class Apis:
    """All places on loopback, with the client's connections to each."""

    def __init__(self, stack: ExitStack, authority: Authority) -> None:
        places = PLACES + SERVICES
        self.gateway = Gateway(*(Api(place.host_header, place.region, place.service, "") for place in places))
        tls = authority.tls(*sorted({place.host[0] for place in places}))
        servers = {"http": Server(self.gateway), "https": Server(self.gateway, tls)}
        for server in servers.values():
            stack.enter_context(server)
        stack.enter_context(names({place.host: servers[place.url.split(":")[0]].port for place in places}))
        self._connections = {
            place: stack.enter_context(closing(Connections(parse_api_url(place.url), 32))) for place in places
        }

    def client(self, place: Place, key: tuple[str, str, str | None] = KEY) -> Client:
        self.gateway.keys = {key[0]: Credentials(*key[1:])}
        self.gateway.verdicts.clear()
        options: dict[str, Any] = {"region": place.given_region, "service": place.service}
        connections = self._connections[place]
        return Client(place.url, credentials=FixedCredentials(*key), transport=connections, **options)


@pytest.fixture(scope="module")
def apis(authority: Authority) -> Iterator[Apis]:
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("AWS_CA_BUNDLE", str(authority.bundle))
        environment.setenv("SSL_CERT_FILE", str(authority.bundle))
        environment.setenv("NO_PROXY", "*")
        environment.setenv("_X_AMZN_TRACE_ID", TRACE_ID)
        environment.setenv("AWS_REGION", "af-south-1")
        yield Apis(stack, authority)


@pytest.mark.parametrize("place", SERVICES, ids=lambda place: place.service)
def test_a_call_to_each_service(place: Place, apis: Apis) -> None:
    arn = "arn:aws:bedrock-agentcore:eu-central-1:111111111111:runtime/orders-a1b2c3d4e5"
    client = apis.client(place)
    client.post(["runtimes", arn, "invocations"], body={"query": "{ é }"}, idempotency_key="k")
    client.get("/", query={"q": "a b"})
    httpx2.put(f"{place.url}/a", content=b"tea", auth=client.auth)

    assert (len(apis.gateway.accepted), apis.gateway.refused) == (3, [])
    [scope] = {
        request.values("authorization")[0].split("/", 2)[2].partition(",")[0] for request in apis.gateway.accepted
    }
    assert scope == f"eu-central-1/{place.service}/aws4_request"


# What has a meaning of its own in a URL, a header, a signature or a shell, or could be taken for an escape.
_SPECIAL = " %+&=;:,@!$'()*~.-_\\|\"<>[]{}^`2fF41é日😀\u0301"
_CONTROL = "/?#\t\n\r\x00\x7f\x85"
_VISIBLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
_NO_SPACE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
_TEXT = st.text(_SPECIAL, max_size=8) | st.text(_SPECIAL + _CONTROL, max_size=8) | st.text(max_size=8)
_SEGMENT = st.text(_SPECIAL, min_size=1, max_size=8) | st.text(
    st.characters(exclude_characters="/?#", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8
)
_PATH = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end, st.lists(_SEGMENT, max_size=4), st.sampled_from(["", "/"])
)
_SCALAR = _TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
_HEADER_NAME = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=12) | st.sampled_from(
    ["Accept", "Content-Type", "Range", "If-None-Match", "X-Tenant", "Host", "X-Amz-Date", "Authorization", "Date"]
)
_JSON = st.recursive(
    st.none() | _SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4)
)
EVENTS = st.fixed_dictionaries(
    {"path": _PATH | _PATH | _PATH | _TEXT.map(lambda text: "/" + text)},
    optional={
        "method": st.sampled_from(METHODS),
        "query": st.dictionaries(_TEXT, _SCALAR | st.lists(_SCALAR, max_size=4), max_size=5),
        "headers": st.dictionaries(
            _HEADER_NAME, st.text(_VISIBLE, min_size=1, max_size=30).map(str.strip) | _TEXT, max_size=3
        ),
        "body": _JSON,
        "idempotency_key": st.text(_VISIBLE, min_size=1, max_size=40).map(str.strip) | st.just("k" * 255),
    },
)
"""Every kind of call that is allowed, and some that are not."""

KEYS = st.tuples(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=24),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\"'`"), min_size=1, max_size=40),
    st.none() | st.builds(str.__mul__, st.text("abXY09+/=", min_size=1, max_size=40), st.integers(1, 40)),
)
"""Access key id, secret access key, and session token."""


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


def given_headers(event: dict[str, Any], token: str | None, correlation_id: str) -> Iterator[tuple[str, str]]:
    own = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"cross-account-api/{__version__}",
        "x-amzn-trace-id": TRACE_ID,
    }
    if event.get("body") is not None:
        own["content-type"] = "application/json"
    yield from (own | {name.lower(): value for name, value in event.get("headers", {}).items()}).items()
    optional = {"idempotency-key": event.get("idempotency_key"), "x-correlation-id": correlation_id}
    yield from ((name, value) for name, value in (optional | {"x-amz-security-token": token}).items() if value)


# Headers of the connection or the signature, which the verifier checks.
TRANSPORT = {"authorization", "connection", "content-length", "host", "x-amz-content-sha256", "x-amz-date"}


def assert_same_meaning(
    request: Request, place: Place, event: dict[str, Any], token: str | None, correlation_id: str
) -> None:
    path, _, _ = request.target.partition("?")
    assert request.method == event.get("method", "GET")
    assert unquote(path, errors="strict") == place.base_path + event["path"]
    assert arrived_query(request) == given_query(event)
    arrived = sorted((name, value) for name, value in request.headers if name not in TRANSPORT)
    assert arrived == sorted(given_headers(event, token, correlation_id))
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


def test_accepted_calls_are_signed_and_arrive_as_given(apis: Apis) -> None:
    accepted: list[Request] = []

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    @hypothesis.given(st.sampled_from(PLACES), KEYS, EVENTS, st.text(_NO_SPACE, max_size=64))
    def holds(place: Place, key: tuple[str, str, str | None], event: dict[str, Any], correlation_id: str) -> None:
        client = apis.client(place, key)
        try:
            call = Call.parse(event)
            response = client.send(call, correlation_id=correlation_id)
        except InvalidCallError:
            return
        assert (response.status, response.attempts) == (200, 1)
        [request] = apis.gateway.accepted
        assert_same_meaning(request, place, event, key[2], correlation_id)
        assert request.values("authorization")[0].endswith(botocore_signature(request, place.region, key))
        accepted.append(request)

    holds()
    assert len(accepted) > EXAMPLES / 3
