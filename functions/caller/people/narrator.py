"""`call-api --verbose`: tells what is sent and what comes of it, as it happens, without secrets."""

from time import monotonic
from typing import Any

import click
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests.adapters import BaseAdapter

_WITHHELD = {"x-amz-security-token": "(session token)"}


class Narrator(BaseAdapter):
    """Stands before the connection of a `requests.Session`.

    Args:
        connection: What really sends.
    """

    def __init__(self, connection: BaseAdapter) -> None:
        super().__init__()
        self._connection = connection
        self._attempts = 0

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send a request, and tell of it on standard error."""
        self._attempts += 1
        if self._attempts == 1:
            click.echo(_canonical_request(request), err=True)
        start = monotonic()
        outcome = "no answer"
        try:
            response = self._connection.send(request, *args, **options)
            outcome = f"{response.status_code} {response.headers.get('x-amzn-errortype', '')}".rstrip()
        finally:
            click.echo(f"Attempt {self._attempts}: {outcome} after {monotonic() - start:.2f} s", err=True)
        return response

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _canonical_request(request: requests.PreparedRequest) -> str:
    """Return what was signed, line by line; the body is in it as a hash, the signature is not.

    See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    signed = request.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    headers = {
        name: _WITHHELD.get(name.lower(), value) for name, value in request.headers.items() if name.lower() in signed
    }
    text: str = SigV4Auth(Credentials("", ""), "execute-api", "").canonical_request(
        AWSRequest(request.method, request.url, headers, request.body)
    )
    return f"Canonical request:\n{text}"
