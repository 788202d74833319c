"""An API and an STS on loopback for callers in any language: `python -m cross_account_lab verify`."""

import argparse
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from shlex import quote

from cross_account_lab.judge import sts
from cross_account_lab.judge.differences import Api, find_notes
from cross_account_lab.judge.gateway import Gateway, Verdict, gateway_response, refusal
from cross_account_lab.judge.loopback import Response, Server
from cross_account_lab.judge.sigv4 import Request

ROLE_ARN = "arn:aws:iam::111111111111:role/executor"
SESSION_NAME = "222222222222-caller"


@dataclass(frozen=True)
class SignedApi:
    """A judge that listens on loopback, and the STS that gives sessions for it.

    Attributes:
        url: The API's URL with its stage.
        environment: What a caller's environment needs: credentials, region, STS.
        elsewhere: The host that no session token may reach.
    """

    url: str
    judge: Gateway
    environment: Mapping[str, str]
    elsewhere: str

    @property
    def accepted(self) -> list[Request]:
        """The requests that were signed right."""
        return self.judge.accepted

    @property
    def refused(self) -> list[Verdict]:
        """The verdicts on all others."""
        return self.judge.refused


@contextmanager
def serve(
    *, port: int = 0, region: str = sts.REGION, service: str = "execute-api", stage: str = "/v1"
) -> Iterator[SignedApi]:
    """Serve an API, an STS that knows `sts.EXTERNAL_ID`, and a host that no session token may reach."""

    def describe(request: Request) -> Response:
        """Say what arrived; `/redirect` leads to another host, and `/expire` ends the session."""
        path, _, query = request.target.partition("?")
        match path.removeprefix(stage):
            case "/redirect":
                return gateway_response(307, {}, {"Location": f"{elsewhere.url}{stage}/other"})
            case "/expire":
                key = request.access_key
                judge.keys[key] = replace(judge.keys[key], expires=datetime.min.replace(tzinfo=UTC))
        body = {"method": request.method, "path": path, "query": query, "body": request.body.decode("latin-1")}
        return gateway_response(200, {"accepted": True, "notes": find_notes(request), **body})

    judge = Gateway(answer=describe)
    judge.keys |= sts.CALLER
    issuer = sts.Sts(judge.keys)
    with Server(judge, port=port) as server, Server(issuer) as sts_server, Server(_elsewhere) as elsewhere:
        judge.add(Api(server.host, region, service, stage))
        environment = {
            **sts.CALLER_ENVIRONMENT,
            "API_URL": server.url + stage,
            "API_REGION": region,
            "EXECUTOR_ROLE_ARN": ROLE_ARN,
            "EXTERNAL_ID": sts.EXTERNAL_ID,
            "SESSION_NAME": SESSION_NAME,
            "AWS_ENDPOINT_URL_STS": sts_server.url,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        yield SignedApi(server.url + stage, judge, environment, elsewhere.url)


def _elsewhere(request: Request) -> Response:
    """Respond as the host to which `/redirect` leads."""
    if not request.values("x-amz-security-token"):
        return gateway_response(200, {"accepted": True})
    text = "A redirect was followed with the session token, which the other host can use now: follow none."
    return refusal("ForbiddenException", text, differences=[text])


def show(verdict: Verdict) -> str:
    """Return a verdict as a line for people."""
    outcome = "accepted" if verdict.access_key else "refused "
    return "\n    ".join([f"{outcome}  {verdict.request.method} {verdict.request.target}", *verdict.differences])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--port", type=int, default=0, help="of the API; a free one by default")
    parser.add_argument("--region", default=sts.REGION, help="to sign for; default: %(default)s")
    parser.add_argument("--service", default="execute-api", help="to sign for; default: %(default)s")
    parser.add_argument(
        "--stage", type=_stage, default="/v1", help="what paths begin with; empty for none; default: %(default)s"
    )


def run(options: argparse.Namespace) -> None:
    """Serve until interrupted: print what a caller needs, then a line for each request."""
    with serve(port=options.port, region=options.region, service=options.service, stage=options.stage) as api:
        api.judge.report = lambda verdict: _write(show(verdict))
        for name, value in api.environment.items():
            _write(f"export {name}={quote(value)}")
        _write("# Sign with these, or assume the role at AWS_ENDPOINT_URL_STS first. Ctrl-C ends it.")
        threading.Event().wait()


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stage(text: str) -> str:
    if text and (not text.startswith("/") or text.endswith("/")):
        raise argparse.ArgumentTypeError(f"must be empty or like /v1, not {text!r}")
    return text
