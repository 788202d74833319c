"""Certificates for servers on loopback, valid and invalid ones."""

import ssl
from datetime import datetime
from pathlib import Path

import trustme


class Authority:
    """A certificate authority.

    Attributes:
        bundle: The file with the certificate with which clients trust it.
    """

    def __init__(self, bundle: Path) -> None:
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(bundle))
        self.bundle = bundle

    def tls(self, *hosts: str, not_after: datetime | None = None) -> ssl.SSLContext:
        """Return the TLS context of a server with these host names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*hosts, not_after=not_after).configure_cert(context)
        return context
