"""Other services than API Gateway: signed for the service and region of the host, as each of them wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from cross_account_api import Client
from cross_account_lab.judge.gateway import Gateway
from cross_account_lab.judge.loopback import Server
from cross_account_lab.judge.sigv4 import Credentials
from tests.support.certificates import Authority
from tests.support.hosts import names
from tests.wire.signing.apis import FixedCredentials

HOSTS = {
    "lambda": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws",
    "appsync": "abcdefghijklmnopqrstuvwxyz.appsync-api.eu-central-1.amazonaws.com",
    "bedrock-agentcore": "bedrock-agentcore.eu-central-1.amazonaws.com",
    "vpc-lattice-svcs": "orders-0123456789abcdef0.7d67968.vpc-lattice-svcs.eu-central-1.on.aws",
}


@pytest.fixture(params=HOSTS)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gateway(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("NO_PROXY", "*")
    host = HOSTS[service]
    gateway = Gateway({host: "eu-central-1"}, service=service)
    gateway.keys["AKIDEXAMPLE"] = Credentials("secret", "token")
    with ExitStack() as stack:
        server = stack.enter_context(Server(gateway, authority.tls(host)))
        stack.enter_context(names({(host, 443): server.port}))
        yield gateway


def test_a_call_to_each_service(service: str, gateway: Gateway) -> None:
    url = f"https://{HOSTS[service]}"
    arn = "arn:aws:bedrock-agentcore:eu-central-1:111111111111:runtime/orders-a1b2c3d4e5"
    with Client(url, service=service, credentials=FixedCredentials("AKIDEXAMPLE", "secret", "token")) as client:
        client.post(["runtimes", arn, "invocations"], body={"query": "{ é }"}, idempotency_key="k")
        client.get("/", query={"q": "a b"})
        httpx2.put(f"{url}/a", content=b"tea", auth=client.auth)

    assert gateway.verdicts == {"accepted": 3}, gateway.refusals
    [scope] = {request.values("authorization")[0].split("/", 2)[2].partition(",")[0] for request in gateway.received}
    assert scope == f"eu-central-1/{service}/aws4_request"
