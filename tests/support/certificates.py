"""Certificates for servers on loopback, valid and invalid ones."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

import trustme


class Authority:
    """A certificate authority."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, file: Path) -> None:
        """Write the certificate with which clients trust this authority."""
        self._ca.cert_pem.write_to_path(str(file))

    def tls(self, *hosts: str, not_after: datetime | None = None) -> ssl.SSLContext:
        """Return the TLS context of a server with these host names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*hosts, not_after=not_after).configure_cert(context)
        return context
