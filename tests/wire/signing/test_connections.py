"""Which connections are used: never another process's, none that was idle for long, and to whom they lead."""

import ipaddress
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cross_account_access.project import PROJECT
from cross_account_api import CertificateError
from cross_account_lab.judge.gateway import gateway_response
from cross_account_lab.judge.judge import ROLE_ARN
from cross_account_lab.judge.loopback import HOST, Exchange, RequestFault, Server, always
from cross_account_lab.judge.sts import EXTERNAL_ID
from tests.support.certificates import Authority
from tests.support.fakes import FakeTime
from tests.wire.signing.forks import CHILDREN
from tests.wire.world import World

type Start = Callable[[ssl.SSLContext], World]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts account A with TLS."""
    with ExitStack() as stack:

        def begin(tls: ssl.SSLContext) -> World:
            world = World(tls, lambda request: gateway_response(200, {"path": request.target}))
            world.enter(monkeypatch)
            monkeypatch.setenv("HOME", str(tmp_path))
            for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
                monkeypatch.delenv(name, raising=False)
            return stack.enter_context(world)

        yield begin


def clients(server: Server) -> set[tuple[str, int]]:
    """Return the ends of the connections over which requests come from now on."""
    seen = set()

    def respond(exchange: Exchange) -> None:
        seen.add(exchange.connection.getpeername())
        exchange.send_response(exchange.respond())

    server.inject(always(RequestFault(respond)))
    return seen


@pytest.mark.parametrize("source", ["role", "profile"])
def test_forked_processes_share_a_session_of_a_profile_at_most(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority, source: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), str(PROJECT / "functions")]))
    (tmp_path / "config").write_text(
        f"[profile orders]\nrole_arn = {ROLE_ARN}\nexternal_id = {EXTERNAL_ID}\nrole_session_name = 222222222222-x\n"
        "credential_source = Environment\nduration_seconds = 3600\n"
    )
    world = start(authority.tls(HOST))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    api, sts = clients(world.api), clients(world.sts)

    wrong = subprocess.run(
        [sys.executable, "-m", "tests.wire.signing.forks", world.url, source], timeout=900, check=False
    )

    assert wrong.returncode == 0
    assert len(api) == 1 + CHILDREN, "the parent goes on with its own"
    assert len(sts) == len(world.sessions.names) == (1 + CHILDREN if source == "role" else 1)


@pytest.mark.parametrize(
    ("method", "seconds", "connections", "stopped"),
    [
        *(("PUT", 59, 1, ""), ("PUT", 61, 2, ""), ("POST", 4, 1, ""), ("POST", 6, 2, ""), ("PATCH", 3600, 2, "")),
        *(("PUT", 61, 2, "monotonic"), ("PUT", 61, 2, "time")),
    ],
)
def test_a_connection_that_was_idle_for_long_is_not_used_again(
    world: World, method: str, seconds: float, connections: int, stopped: str
) -> None:
    """A NAT gateway may have dropped it. Either clock may stand still while a virtual machine does."""
    clock, seen = FakeTime(), clients(world.api)
    with world.client(api_ignores_idempotency_keys=True, clock=clock) as client:
        client.get("/")
        if stopped:
            setattr(clock, stopped, lambda now=clock.now: now)
        clock.now += seconds
        client.request(method, "/", body={})

    assert len(seen) == connections


def company_certificates(folder: Path) -> ssl.SSLContext:
    """Return a server's context, and write its root to `ca.pem`: certificates as TLS proxies make them.

    They lack the key identifiers that RFC 5280 asks for.
    """
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "leaf")}
    now, day = datetime.now(UTC), timedelta(days=1)

    def certificate(name: str, extension: x509.ExtensionType, *, critical: bool) -> x509.Certificate:
        issuer, subject = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("root", name))
        number, public = x509.random_serial_number(), keys[name].public_key()
        builder = x509.CertificateBuilder(issuer, subject, public, number, now - day, now + day)
        return builder.add_extension(extension, critical).sign(keys["root"], hashes.SHA256())

    root = certificate("root", x509.BasicConstraints(ca=True, path_length=None), critical=True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
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
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    world = start(company_certificates(tmp_path))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/none")
    if place == "ca_bundle":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {tmp_path / 'ca.pem'}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(place, str(tmp_path / "ca.pem"))

    with world.assuming_client() as client:
        assert client.get("/").attempts == 1


def test_a_certificate_that_is_not_trusted_is_not_asked_for_again(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    world = start(authority.tls(HOST))
    monkeypatch.setenv("AWS_CA_BUNDLE", str(Authority(tmp_path / "another.pem").bundle))
    client = world.client()

    with pytest.raises(CertificateError, match="unable to get local issuer certificate") as caught:
        client.get("/")

    assert (caught.value.attempts, caught.value.may_have_arrived) == (1, False)
    assert "AWS_CA_BUNDLE" in caught.value.remedy
