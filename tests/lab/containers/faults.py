"""An API that fails in the way that the path names, and ignores signatures."""

from __future__ import annotations

from cross_account_api.transport import MAX_RESPONSE_BYTES
from cross_account_lab.judge.loopback import Exchange, RequestFault, Response, Server, always, json_response

_JSON = {"Content-Type": "application/json", "x-amzn-RequestId": "request-1"}


@RequestFault
def _fail(exchange: Exchange) -> None:
    match exchange.request.target.strip("/").split("/"):
        case ["stall"]:
            exchange.stall()
        case ["hang-up"]:
            exchange.close()
        case ["garbled"]:
            exchange.send_response(Response(200, _JSON, b'{"orders": ['))
        case ["too-large"]:
            exchange.send_response(Response(200, _JSON, b"x" * (MAX_RESPONSE_BYTES + 1)))
        case [status, *rest]:
            name = rest[0] if rest else "fault"
            headers = _JSON | {"x-amzn-errortype": name, "Location": "http://elsewhere.example.com/"}
            if name == "in_progress":
                headers["Retry-After"] = "1"
            exchange.send_response(json_response(int(status), {"message": "as asked"}, headers))


def faulty_api(host: str) -> Server:
    server = Server(lambda _: Response(500), host=host)
    server.inject(always(_fail))
    return server
