"""An API that misbehaves in the way that the path names, and ignores signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Self

from cross_account_api.transport import MAX_RESPONSE_BYTES


class FaultyApi(ThreadingHTTPServer):
    """The server.

    Attributes:
        released: Set when it ends, so that no stalled response outlives it.
    """

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.port: int = self.server_address[1]
        self.released = Event()

    @classmethod
    @contextmanager
    def start(cls, host: str) -> Iterator[Self]:
        with cls(host) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                yield server
            finally:
                server.released.set()
                server.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FaultyApi

    def do_GET(self) -> None:
        match self.path.strip("/").split("/"):
            case ["stall"]:
                self.server.released.wait()
            case ["hang-up"]:
                pass
            case ["garbled"]:
                self._answer(200, b'{"orders": [')
            case ["too-large"]:
                self._answer(200, b"x" * (MAX_RESPONSE_BYTES + 1))
            case [status, *rest]:
                name = rest[0] if rest else "fault"
                headers = {"x-amzn-errortype": name, "Location": "http://elsewhere.example.com/"}
                if name == "in_progress":
                    headers["Retry-After"] = "1"
                self._answer(int(status), json.dumps({"message": "as asked"}).encode(), headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", "request-1")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""
