"""`call-api --verbose`: logs each request and response to standard error, without secrets."""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

import click
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cross_account_api.transport import HttpResponse, HttpStream, Request, StreamingTransport, Timeout

_T = TypeVar("_T", HttpResponse, HttpStream)
_WITHHELD = {"x-amz-security-token": "(session token)"}


class VerboseTransport:
    """Wraps another transport."""

    def __init__(self, transport: StreamingTransport) -> None:
        self._transport = transport
        self._attempts = 0

    def send(self, request: Request, timeout: Timeout) -> HttpResponse:
        """Send a request: see `Transport`."""
        return self._logged(request, lambda: self._transport.send(request, timeout))

    def open(self, request: Request, timeout: Timeout, idle_timeout: float) -> HttpStream:
        """Send a request, and return the response before its body: see `StreamingTransport`."""
        return self._logged(request, lambda: self._transport.open(request, timeout, idle_timeout))

    def _logged(self, request: Request, send: Callable[[], _T]) -> _T:
        self._attempts += 1
        if self._attempts == 1:
            click.echo(_canonical_request(request), err=True)
        start = monotonic()
        outcome = "no response"
        try:
            response = send()
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
