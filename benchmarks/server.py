"""AWS for the benchmarks, in a process of its own: the API, STS and DynamoDB over TLS, with keep-alive.

It responds at once and does as little as possible, so that the time measured is the client's: it has a parser of its
own, and verifies signatures for `/verified` only.
"""

from __future__ import annotations

import asyncio
import bisect
import datetime
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import trustme
import urllib3

from cross_account_lab.judge.loopback import HOST
from cross_account_lab.judge.sigv4 import Credentials, RefusedError, Request, verify
from cross_account_lab.judge.sts import CALLER_ENVIRONMENT, EXTERNAL_ID, REGION, assume_role_response

EXECUTOR_ROLE_ARN = "arn:aws:iam::111111111111:role/executor"
SESSION_NAME = "222222222222-caller"
ACCESS_KEY, SECRET_KEY, TOKEN = "ASIAEXECUTOREXAMPLE0", "secret+of/the/session", "FwoGZXIvYXdzE" + "x" * 400
_SESSION = Credentials(SECRET_KEY, TOKEN)

_WHOAMI = json.dumps({"account_id": "222222222222", "session_name": SESSION_NAME, "request_id": "r"}).encode()
_DELAY = re.compile(r"/v1/delay/([0-9]+)")


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

    def count(self) -> dict[str, int]:
        """Return the number of requests by operation since the last call."""
        counts: dict[str, int] = self._get("/count")
        return counts

    def fill(self, size: int) -> None:
        """Fill the table with that many orders."""
        self._get(f"/fill/{size}")

    def _get(self, path: str) -> Any:
        return urllib3.PoolManager(ca_certs=str(self.ca_bundle)).request("GET", self.url + path, timeout=30).json()


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


class Table:
    """Orders in an index of DynamoDB: sorted and found by bisection."""

    def __init__(self) -> None:
        self._times: list[str] = []
        self.items: list[dict[str, object]] = []

    def fill(self, size: int) -> None:
        """Hold that many orders, one per second."""
        start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        moments = (start + datetime.timedelta(seconds=number) for number in range(size))
        self._times = [moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in moments]
        self.items = [_order(number, time) for number, time in enumerate(self._times)]

    def query(self, request: dict[str, object]) -> dict[str, object]:
        match request:
            case {"ExclusiveStartKey": {"created_at": {"S": str(time)}}}:
                end = bisect.bisect_left(self._times, time)
            case _:
                end = len(self.items)
        limit = request["Limit"]
        assert isinstance(limit, int)
        page = self.items[max(0, end - limit) : end][::-1]
        result: dict[str, object] = {"Items": page, "Count": len(page), "ScannedCount": len(page)}
        if end > limit:
            result["LastEvaluatedKey"] = {name: page[-1][name] for name in ("consumer", "order_id", "created_at")}
        return result


def _order(number: int, time: str) -> dict[str, object]:
    return {
        "consumer": {"S": "222222222222"},
        "order_id": {"S": f"{number:08x}-0000-5000-8000-000000000000"},
        "sku": {"S": "ABC-1"},
        "quantity": {"N": "2"},
        "status": {"S": "accepted"},
        "created_at": {"S": time},
        "consumer_status": {"S": "222222222222#accepted"},
    }


class _Service:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.table = Table()
        self.table.fill(1)

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        if "x-amz-target" in headers:
            return 200, "application/x-amz-json-1.0", json.dumps(self._dynamodb(headers, body)).encode()
        if method == "POST" and target == "/":
            return 200, "text/xml", self._assume_role(body)
        if target == "/count":
            counts, self.counts = self.counts, {}
            return 200, "application/json", json.dumps(counts).encode()
        if target.startswith("/fill/"):
            self.table.fill(int(target.removeprefix("/fill/")))
            return 200, "application/json", b"{}"
        self._count("call")
        if target.startswith("/v1/verified") and not _is_signed(Request(method, target, tuple(headers.items()), body)):
            return 403, "application/json", b'{"message": "The request signature we calculated does not match"}'
        return 200, "application/json", _WHOAMI

    def _count(self, operation: str) -> None:
        self.counts[operation] = self.counts.get(operation, 0) + 1

    def _assume_role(self, body: bytes) -> bytes:
        assert b"Action=AssumeRole" in body, body
        assert f"ExternalId={EXTERNAL_ID}".encode() in body, body
        self._count("AssumeRole")
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        return assume_role_response(ACCESS_KEY, _SESSION, SESSION_NAME, expires).body

    def _dynamodb(self, headers: dict[str, str], body: bytes) -> dict[str, object]:
        operation = headers["x-amz-target"].rpartition(".")[2]
        self._count(operation)
        match operation:
            case "GetItem":
                return {"Item": self.table.items[0]}
            case "Query":
                return self.table.query(json.loads(body))
            case "UpdateItem":
                return {"Attributes": self.table.items[0]}
        return {}


def _is_signed(request: Request) -> bool:
    now = datetime.datetime.now(datetime.UTC)
    try:
        verify(request, {ACCESS_KEY: _SESSION}, region=REGION, service="execute-api", now=now)
    except RefusedError:
        return False
    return True


class _Connection(asyncio.Protocol):
    def __init__(self, service: _Service) -> None:
        self._service = service
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            length = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < length:
                return
            body, self._buffer = self._buffer[end + 4 : length], self._buffer[length:]
            method, target, _ = first.split(" ")
            status, content_type, content = self._service.respond(method, target, headers, body)
            head = (
                f"HTTP/1.1 {status} OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n"
                "Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nConnection: keep-alive\r\n"
                "x-amzn-RequestId: 3f1c2b4a-0000-4000-8000-000000000000\r\nx-amz-apigw-id: AbCdEfGhIjKlMnO=\r\n"
                "X-Amzn-Trace-Id: Root=1-67000000-000000000000000000000000;Parent=0000000000000000;Sampled=0\r\n\r\n"
            ).encode()
            delay = _DELAY.fullmatch(target)
            if delay:
                asyncio.get_running_loop().call_later(int(delay[1]) / 1000, self._transport.write, head + content)
            else:
                self._transport.write(head + content)


async def _serve(certificate: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    service = _Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(service), HOST, 0, ssl=context, backlog=256)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    os.environ.pop("AWS_CA_BUNDLE", None)
    asyncio.run(_serve(sys.argv[1]))
