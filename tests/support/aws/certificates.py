"""Certificates for servers on loopback, good and bad ones."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

import trustme

from tests.faults.server import HOST


class Authority:
    """A certificate authority."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, file: Path) -> None:
        """Write the certificate that makes clients trust this authority."""
        self._ca.cert_pem.write_to_path(str(file))

    def tls(self, host: str = HOST, not_after: datetime | None = None) -> ssl.SSLContext:
        """Return the context of a server with a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(host, not_after=not_after).configure_cert(context)
        return context
