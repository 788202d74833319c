"""Connections to the API that come to nothing, their TLS and their proxies."""

import socket
import ssl
import traceback
from pathlib import Path

import pytest
import urllib3

from cross_account_api.errors import ConnectionFailedError, SettingsError
from cross_account_api.transport import Connections, Request, Timeout

URL = "http://127.0.0.1:4566/v1"
HTTPS_URL = "https://api.example.com/v1"
PATIENT = Timeout(connect=120, read=120, total=120)
UNKNOWN_HOST = socket.gaierror(-2, "Not known")


@pytest.mark.parametrize(
    ("error", "url", "reason", "may_have_arrived"),
    [
        (TimeoutError("timed out"), URL, "ConnectTimeoutError: timed out", False),
        (UNKNOWN_HOST, URL, r"NameResolutionError of 127\.0\.0\.1: \[Errno -2\] Not known", False),
        (UNKNOWN_HOST, HTTPS_URL, r"of proxy\.example\.com: ", False),
        (MemoryError("hunter2"), URL, "MemoryError", True),
    ],
)
def test_a_failed_connection_names_its_first_cause_and_no_url(
    monkeypatch: pytest.MonkeyPatch, error: Exception, url: str, reason: str, may_have_arrived: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setattr("urllib3.util.connection.create_connection", fail)

    with pytest.raises(ConnectionFailedError, match=reason) as caught:
        Connections(url, 1).send(Request("GET", f"{url}/?token=hunter2"), PATIENT)

    assert caught.value.may_have_arrived is may_have_arrived
    assert "hunter2" not in str(caught.value)


def test_a_header_that_cannot_be_sent_is_an_error_of_a_call_and_not_shown() -> None:
    headers = {"X-Token": "hunter2\r"}
    with pytest.raises(ConnectionFailedError) as caught:
        Connections(URL, 1).send(Request("GET", URL, headers=headers), PATIENT)

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# --- TLS and proxies --------------------------------------------------------------------------------------------------


def pool_of(api_url: str, size: int = 1) -> urllib3.HTTPConnectionPool:
    pool = Connections(api_url, size)._pool
    assert isinstance(pool, urllib3.HTTPConnectionPool)
    return pool


def test_all_connections_share_one_tls_context_that_verifies() -> None:
    pool = pool_of(HTTPS_URL, 7)

    context = pool.conn_kw["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.verify_flags == ssl.create_default_context().verify_flags, "the public CAs, as Python judges them"
    assert isinstance(pool, urllib3.HTTPSConnectionPool)
    assert pool.ca_certs is None
    assert pool.pool is not None
    assert pool.pool.maxsize == 7


@pytest.mark.parametrize(("variable", "file"), [("REQUESTS_CA_BUNDLE", "none"), ("AWS_CA_BUNDLE", "empty")])
def test_an_invalid_bundle_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, file: str
) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.setenv(variable, f"{tmp_path}/{file}")

    with pytest.raises(SettingsError, match=f"{variable} is '{tmp_path}/{file}'"):
        Connections(URL, 1)


@pytest.mark.parametrize(
    ("proxy", "no_proxy", "url", "used"),
    [
        ("me:p%40ss@proxy.example.com:3128", "", HTTPS_URL, "http://me:p%40ss@proxy.example.com:3128"),
        ("http://proxy.example.com:3128", "", URL, None),
        ("http://proxy.example.com:3128", "example.com", HTTPS_URL, None),
    ],
)
def test_a_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, proxy: str, no_proxy: str, url: str, used: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", no_proxy)

    pool = pool_of(url)

    assert str(pool.proxy) == str(used)
    if used:
        assert pool.conn_kw["ssl_context"].verify_mode == ssl.CERT_REQUIRED
        password = urllib3.make_headers(proxy_basic_auth="me:p@ss") if "@" in used else {}
        assert (pool.proxy_headers or {}) == password


@pytest.mark.parametrize("proxy", ["ftp://secret@proxy.example.com", "http://secret:secret@proxy:port"])
def test_an_invalid_proxy_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        Connections(HTTPS_URL, 1)

    assert "secret" not in str(caught.value)
