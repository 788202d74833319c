"""`call-api --verbose`: tells what is sent and what comes of it, as it happens, without secrets."""

from time import monotonic

import click
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cross_account_api.transport import Request, Transport

_WITHHELD = {"x-amz-security-token": "(session token)"}


class Narrator:
    """Stands before another transport.

    Args:
        transport: What really sends.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._attempts = 0

    def send(self, request: Request, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        """Send a request, and tell of it on standard error."""
        self._attempts += 1
        if self._attempts == 1:
            click.echo(_canonical_request(request), err=True)
        start = monotonic()
        outcome = "no answer"
        try:
            response = self._transport.send(request, timeout)
            outcome = f"{response.status} {response.headers.get('x-amzn-errortype', '')}".rstrip()
        finally:
            click.echo(f"Attempt {self._attempts}: {outcome} after {monotonic() - start:.2f} s", err=True)
        return response


def _canonical_request(request: Request) -> str:
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
