"""Account A as the caller meets it: its STS and its API, each a real HTTPS server on loopback."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from botocore.credentials import Credentials

from access.templates import REGION, REQUIRED_PARAMETERS
from tests.faults import backend
from tests.support.aws.certificates import Authority
from tests.support.aws.loopback import Request, Response, Server
from tests.faults.signature import RefusedError, Session, verify

FUNCTION_CREDENTIALS = Credentials("ASIACALLERFUNCTION00", "function-secret", "function-token")


class Provider:
    """Account A.

    Args:
        authority: Who certifies its servers.

    Attributes:
        api: The server of its API.
        sts: The server of its STS.
        session_seconds: How long the sessions last that STS gives out.
        clock: How far the clock of the API is ahead.
    """

    def __init__(self, authority: Authority) -> None:
        self.api = Server(authority.tls(), self.answer)
        self.sts = Server(authority.tls(), self._assume_role)
        self.session_seconds = 3600.0
        self.clock = timedelta()
        self._numbers = itertools.count(1)
        self._sessions: dict[str, Session] = {}
        self._revoked = datetime.min.replace(tzinfo=UTC)

    def stop(self) -> None:
        self.api.stop()
        self.sts.stop()

    def revoke_sessions(self) -> None:
        """Deny everything to the sessions given out so far.

        See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
        """
        self._revoked = datetime.now(UTC)

    def expire_sessions(self) -> None:
        """Have the sessions given out so far end now, whatever their holders were told."""
        now = datetime.now(UTC)
        self._sessions = {
            key: Session(session.credentials, session.name, session.issued, now)
            for key, session in self._sessions.items()
        }

    def answer(self, request: Request) -> Response:
        try:
            session = verify(request, self._sessions, "execute-api", REGION, datetime.now(UTC) + self.clock)
            if session.issued < self._revoked:
                raise RefusedError("AccessDeniedException", "not authorized, with an explicit deny")
        except RefusedError as error:
            return refusal(error.code, str(error))
        try:
            return backend.answer(request, session.name)
        except backend.KilledError:
            return gateway_error(502)

    def _assume_role(self, request: Request) -> Response:
        now = datetime.now(UTC)
        holder = Session(FUNCTION_CREDENTIALS, "", now, now + timedelta(hours=1))
        try:
            verify(request, {FUNCTION_CREDENTIALS.access_key: holder}, "sts", REGION, now)
        except RefusedError as error:
            return sts_error(403, error.code.removesuffix("Exception"), str(error))
        form = {name: value for name, (value,) in parse_qs(request.body.decode()).items()}
        if (form["Action"], form["ExternalId"]) != ("AssumeRole", REQUIRED_PARAMETERS["b"]["ExternalId"]):
            return sts_error(403, "AccessDenied", "not authorized to perform: sts:AssumeRole")
        number = next(self._numbers)
        credentials = Credentials(f"ASIAEXECUTOR{number:08}", f"executor-secret-{number}", f"executor-token-{number}")
        expires = now + timedelta(seconds=min(self.session_seconds, float(form["DurationSeconds"])))
        self._sessions[credentials.access_key] = Session(credentials, form["RoleSessionName"], now, expires)
        return Response(
            200,
            {"Content-Type": "text/xml"},
            f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
            <AccessKeyId>{credentials.access_key}</AccessKeyId><SecretAccessKey>{credentials.secret_key}</SecretAccessKey>
            <SessionToken>{credentials.token}</SessionToken><Expiration>{expires:%Y-%m-%dT%H:%M:%SZ}</Expiration>
            </Credentials></AssumeRoleResult></AssumeRoleResponse>""".encode(),
        )


def api_answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in API Gateway's dress."""
    given = {"Content-Type": "application/json", "x-amzn-RequestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"}
    return Response(status, given | dict(headers or {}), json.dumps(body).encode())


def refusal(code: str, message: str) -> Response:
    """Return how API Gateway refuses a caller."""
    return api_answer(403, {"message": message}, {"x-amzn-ErrorType": code})


def gateway_error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return what API Gateway answers when something behind it fails."""
    return api_answer(status, {"message": "Internal server error"}, headers)


def sts_error(status: int, code: str, message: str) -> Response:
    """Return an error of STS."""
    body = f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
    <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"""
    return Response(status, {"Content-Type": "text/xml"}, body.encode())
