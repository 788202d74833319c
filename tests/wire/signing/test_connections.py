"""Which connections are used: never another process's, none that was idle for long, and to whom they lead."""

from __future__ import annotations

import ipaddress
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cross_account_access.templates import PROJECT
from cross_account_api import CertificateError, Client, Response
from cross_account_lab.judge.gateway import Gateway, gateway_response
from cross_account_lab.judge.loopback import Exchange, RequestFault, Server, always
from cross_account_lab.judge.sigv4 import Credentials
from cross_account_lab.judge.sts import CALLER_ENVIRONMENT, EXTERNAL_ID, REGION, Sts
from tests.support.certificates import Authority
from tests.wire.signing.apis import FixedCredentials
from tests.wire.signing.forks import CHILDREN

ROLE_ARN = "arn:aws:iam::111111111111:role/executor"


class Counting:
    """A server whose connections are counted."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._asked = 0  # for a fault: once a connection, and once after each request
        server.inject(self._count)

    def _count(self) -> None:
        self._asked += 1

    @property
    def connections(self) -> int:
        return self._asked - len(self.server.requests)


@dataclass
class Accounts:
    """The API and STS, with the caller's environment."""

    api: Counting
    sts: Counting
    sessions: dict[str, str]

    @property
    def api_url(self) -> str:
        return f"{self.api.server.url}/v1"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Accounts]]:
    """Starts both, with TLS if there is a context for it."""
    gateway = Gateway({}, lambda request, _: gateway_response(200, {"path": request.target}))
    issued = Sts(gateway.keys)
    with ExitStack() as stack:

        def begin(tls: ssl.SSLContext | None = None) -> Accounts:
            api, sts = (stack.enter_context(Server(respond, tls)) for respond in (gateway, issued))
            gateway.regions[f"127.0.0.1:{api.port}"] = REGION
            variables = {"AWS_ENDPOINT_URL_STS": sts.url, "HOME": str(tmp_path), "NO_PROXY": "*"}
            for name, value in (CALLER_ENVIRONMENT | variables).items():
                monkeypatch.setenv(name, value)
            monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
            return Accounts(Counting(api), Counting(sts), issued.names)

        yield begin


def run(*arguments: str) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "functions")])}
    command = [sys.executable, "-m", "tests.wire.signing.forks", *arguments]
    return subprocess.run(command, env=environment, timeout=900, check=False).returncode


@pytest.mark.parametrize("encrypted", [False, True], ids=["http", "https"])
def test_forked_processes_share_no_connection(
    start: Callable[..., Accounts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    accounts = start(authority.tls("127.0.0.1") if encrypted else None)

    wrong = run(accounts.api_url, ROLE_ARN)

    assert wrong == 0
    assert accounts.api.connections == 1 + CHILDREN, "the parent goes on with its own"
    assert accounts.sts.connections == len(accounts.sessions) == 1 + CHILDREN


def test_forked_processes_may_share_the_session(
    start: Callable[..., Accounts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = start()
    (tmp_path / "config").write_text(
        f"[profile orders]\nrole_arn = {ROLE_ARN}\nexternal_id = {EXTERNAL_ID}\nrole_session_name = 222222222222-x\n"
        "credential_source = Environment\nduration_seconds = 3600\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

    assert run(accounts.api_url, "orders") == 0
    assert accounts.api.connections == 1 + CHILDREN
    assert accounts.sts.connections == len(accounts.sessions) == 1


class LaterClock:
    """The time, and some seconds more."""

    later = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.later

    def time(self) -> float:
        return time.time() + self.later

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def test_connections_that_a_nat_gateway_has_dropped_cost_no_call() -> None:
    """The first byte after the pause is answered with RST, and the call must not be sent twice."""
    calls, clock = 10, LaterClock()
    together = threading.Barrier(calls)

    def answer_once(exchange: Exchange) -> None:
        together.wait(timeout=120)
        exchange.send_response(exchange.respond())
        exchange.connection.recv(1)
        exchange.reset()

    gateway = Gateway({})
    gateway.keys["AKIDEXAMPLE"] = Credentials("secret", None)
    with Server(gateway) as server, ThreadPoolExecutor(calls) as pool:
        gateway.regions[f"127.0.0.1:{server.port}"] = REGION
        server.inject(always(RequestFault(answer_once)))
        client = Client(
            server.url,
            region=REGION,
            credentials=FixedCredentials("AKIDEXAMPLE", "secret", None),
            api_ignores_idempotency_keys=True,
            clock=clock,
        )
        responses: list[Response] = list(pool.map(lambda _: client.get("/"), range(calls)))
        clock.later = 400
        responses += pool.map(lambda _: client.post("/", body={}), range(calls))
        client.close()

    assert [response.attempts for response in responses] == [1] * 2 * calls


def company_certificates(folder: Path) -> ssl.SSLContext:
    """Return a server's context, and write its root to `ca.pem`: certificates as TLS proxies make them.

    They lack the key identifiers that RFC 5280 asks for.
    """
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "leaf")}

    def certificate(name: str, extension: x509.ExtensionType, *, critical: bool) -> x509.Certificate:
        def called(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(called("root"), called(name), keys[name].public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        return builder.add_extension(extension, critical).sign(keys["root"], hashes.SHA256())

    root = certificate("root", x509.BasicConstraints(ca=True, path_length=None), critical=True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = certificate("leaf", names, critical=False)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    private = keys["leaf"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "leaf.pem").write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return context


@pytest.mark.parametrize("place", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
def test_sts_and_the_api_are_trusted_by_one_rule(
    start: Callable[..., Accounts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    accounts = start(company_certificates(tmp_path))
    if place == "ca_bundle":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {tmp_path / 'ca.pem'}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(place, str(tmp_path / "ca.pem"))

    with Client(accounts.api_url, role_arn=ROLE_ARN, external_id=EXTERNAL_ID, session_name="222222222222-x") as client:
        assert client.get("/").attempts == 1


def test_a_certificate_that_is_not_trusted_is_not_asked_for_again(
    start: Callable[..., Accounts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Authority().write(tmp_path / "another.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "another.pem"))
    accounts = start(Authority().tls("127.0.0.1"))
    client = Client(accounts.api_url, region=REGION, credentials=FixedCredentials("AKIDEXAMPLE", "secret", None))

    with pytest.raises(CertificateError) as caught:
        client.get("/")

    assert (caught.value.attempts, caught.value.may_have_arrived) == (1, False)
