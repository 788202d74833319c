"""AWS for the benchmarks, in a process of its own: the API, STS and DynamoDB over TLS, with keep-alive.

It responds at once and does as little as possible, so that the time measured is the client's: it verifies signatures
for `/verified` only.
"""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import trustme

from cross_account_lab.judge.loopback import HOST, Response, json_response
from cross_account_lab.judge.sigv4 import Credentials, RefusedError, Request, verify
from cross_account_lab.judge.sts import CALLER_ENVIRONMENT, EXTERNAL_ID, REGION, assume_role_response

EXECUTOR_ROLE_ARN = "arn:aws:iam::111111111111:role/executor"
SESSION_NAME = "222222222222-caller"
ACCESS_KEY, SECRET_KEY, TOKEN = "ASIAEXECUTOREXAMPLE0", "secret+of/the/session", "FwoGZXIvYXdzE" + "x" * 400
_SESSION = Credentials(SECRET_KEY, TOKEN)


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        ca_bundle: The CA certificates to trust: all of certifi's, as on AWS, and the server's own.
    """

    url: str
    ca_bundle: Path

    @property
    def api_url(self) -> str:
        return f"{self.url}/v1"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a Lambda function in either account."""
        return CALLER_ENVIRONMENT | {
            "AWS_CA_BUNDLE": str(self.ca_bundle),
            "REQUESTS_CA_BUNDLE": str(self.ca_bundle),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "POWERTOOLS_SERVICE_NAME": "benchmark",
            "POWERTOOLS_METRICS_NAMESPACE": "CrossAccountApi",
            "API_URL": self.api_url,
            "API_REGION": "",
            "EXECUTOR_ROLE_ARN": EXECUTOR_ROLE_ARN,
            "EXTERNAL_ID": EXTERNAL_ID,
            "SESSION_NAME": SESSION_NAME,
            "ORDERS_TABLE": "orders",
            "IDEMPOTENCY_TABLE": "idempotency",
            "EXECUTOR_ROLE_IDS": "AROAEXECUTOREXAMPLE1",
        }


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run a server, with its certificates in a folder."""
    authority = trustme.CA()
    bundle, certificate = folder / "ca.pem", folder / "server.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(certificate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield Server(f"https://{HOST}:{int(process.stdout.readline())}", bundle)
    finally:
        process.communicate(timeout=10)  # it ends when its standard input does


_STORED = {
    "order_id": {"S": "6bd52eb6-dbcc-5f23-bcca-79864b5bbcd6"},
    "sku": {"S": "ABC-1"},
    "quantity": {"N": "2"},
    "status": {"S": "accepted"},
    "created_at": {"S": "2026-01-15T08:00:00.000000Z"},
}
_WHOAMI = {"account_id": "222222222222", "session_name": SESSION_NAME, "request_id": "r"}
_GATEWAY = {
    "Date": "Mon, 23 Nov 2026 12:00:00 GMT",
    "x-amzn-RequestId": "3f1c2b4a-0000-4000-8000-000000000000",
    "x-amz-apigw-id": "AbCdEfGhIjKlMnO=",
    "X-Amzn-Trace-Id": "Root=1-67000000-000000000000000000000000;Parent=0000000000000000;Sampled=0",
}


def _respond(request: Request, headers: dict[str, str]) -> Response:
    now = datetime.now(UTC)
    if "x-amz-target" in headers:
        return json_response(200, {"Item": _STORED, "Attributes": _STORED, "Items": [_STORED]})
    if request.target == "/":
        assert b"Action=AssumeRole" in request.body, request.body
        assert f"ExternalId={EXTERNAL_ID}".encode() in request.body, request.body
        return assume_role_response(ACCESS_KEY, _SESSION, SESSION_NAME, now + timedelta(hours=1))
    if request.target.startswith("/v1/verified"):
        try:
            verify(request, {ACCESS_KEY: _SESSION}, region=REGION, service="execute-api", now=now)
        except RefusedError as error:
            return json_response(403, {"message": str(error)}, _GATEWAY)
    if request.target.startswith("/v1/size/"):
        return json_response(200, "x" * int(request.target.rpartition("/")[2]), _GATEWAY)
    return json_response(200, _WHOAMI, _GATEWAY)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[:-2])}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, target, _ = first.split(" ")
            response = _respond(Request(method, target, tuple(headers.items()), body), headers)
            if target.startswith("/v1/delay/"):
                await asyncio.sleep(int(target.rpartition("/")[2]) / 1000)
            writer.write(response.content)


async def _serve(certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(_exchange, HOST, 0, ssl=context, backlog=256)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
