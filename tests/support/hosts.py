"""Host names of a test, which lead to loopback."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from cross_account_lab.judge.loopback import HOST


@contextmanager
def names(places: Mapping[tuple[str, int], int]) -> Iterator[None]:
    """Resolve only these host names: each pair of host and port leads to a port on loopback."""

    def getaddrinfo(host: str | bytes, port: Any, *_: Any, **__: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if (name, port) not in places:
            raise socket.gaierror(socket.EAI_NONAME, f"{name}:{port} is unknown to this test")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (HOST, places[name, port]))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield
