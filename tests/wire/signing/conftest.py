"""The APIs that the client calls: host names of all kinds, resolved to loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from cross_account_api.endpoint import parse_api_url
from cross_account_api.transport import Connections
from cross_account_lab.judge.gateway import Gateway
from cross_account_lab.judge.loopback import Server
from tests.support.certificates import Authority
from tests.support.hosts import names
from tests.wire.signing.apis import PLACES, TRACE_ID, Api


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    return Gateway({place.host_header: place.region for place in PLACES})


@pytest.fixture(scope="module")
def apis(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Api]]:
    ca_bundle: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority = Authority()
    authority.write(ca_bundle)
    tls = authority.tls(*sorted({place.host[0] for place in PLACES}))
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("AWS_CA_BUNDLE", str(ca_bundle))
        environment.setenv("NO_PROXY", "*")
        environment.setenv("_X_AMZN_TRACE_ID", TRACE_ID)
        environment.setenv("AWS_REGION", "af-south-1")
        servers = {"http": Server(gateway), "https": Server(gateway, tls)}
        for server in servers.values():
            stack.enter_context(server)
        stack.enter_context(names({place.host: servers[place.url.split(":")[0]].port for place in PLACES}))
        yield [Api(place, stack.enter_context(closing(Connections(parse_api_url(place.url), 32)))) for place in PLACES]
