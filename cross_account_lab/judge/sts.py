"""STS's AssumeRole: each session has credentials of its own."""

import secrets
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from cross_account_lab.judge.loopback import Response
from cross_account_lab.judge.sigv4 import Credentials, RefusedError, Request, verify

REGION = "eu-west-1"
EXTERNAL_ID = "external-id"
CALLER_ENVIRONMENT = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "ASIACALLEREXAMPLE000",  # pragma: allowlist secret
    "AWS_SECRET_ACCESS_KEY": "caller-secret",  # pragma: allowlist secret
    "AWS_SESSION_TOKEN": "caller-token",
}
"""The caller's own credentials, as Lambda sets them."""

CALLER = {
    CALLER_ENVIRONMENT["AWS_ACCESS_KEY_ID"]: Credentials(
        CALLER_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], CALLER_ENVIRONMENT["AWS_SESSION_TOKEN"]
    )
}
_XML = {"Content-Type": "text/xml"}


def assume_role_response(access_key: str, session: Credentials, session_name: str, expires: datetime) -> Response:
    """Return the response to AssumeRole.

    See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    text = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser>
<AssumedRoleId>AROAEXECUTOREXAMPLE1:{session_name}</AssumedRoleId>
<Arn>arn:aws:sts::111111111111:assumed-role/executor/{session_name}</Arn></AssumedRoleUser><Credentials>
<AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{session.secret_key}</SecretAccessKey>
<SessionToken>{session.token}</SessionToken><Expiration>{expires:%Y-%m-%dT%H:%M:%S.%fZ}</Expiration></Credentials>
</AssumeRoleResult><ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata>
</AssumeRoleResponse>"""
    return Response(200, _XML, text.encode())


def caller_identity_response(account: str, resource: str) -> Response:
    """Return the response to GetCallerIdentity for a principal such as `user/my-user`."""
    text = f"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Account>{account}</Account><Arn>arn:aws:iam::{account}:{resource}</Arn></GetCallerIdentityResult>
</GetCallerIdentityResponse>"""
    return Response(200, _XML, text.encode())


def sts_error(status: int, code: str, message: str) -> Response:
    """Return the response to a request that fails."""
    text = f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
    <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"""
    return Response(status, _XML, text.encode())


class Sts:
    """Gives sessions to the caller of `CALLER_ENVIRONMENT` if it knows the external id.

    Attributes:
        lifetime: How long the next sessions last.
        names: The session name of every session, by access key, oldest first.
        refusals: Why requests were refused.
    """

    def __init__(self, keys: MutableMapping[str, Credentials], lifetime: timedelta = timedelta(hours=1)) -> None:
        self._keys = keys  # of the gateway, which accepts the sessions
        self.lifetime = lifetime
        self.names: dict[str, str] = {}
        self.refusals: list[str] = []

    def __call__(self, request: Request) -> Response:
        """Respond to AssumeRole and GetCallerIdentity."""
        now = datetime.now(UTC)
        try:
            verify(request, CALLER, region=REGION, service="sts", now=now)
        except RefusedError as error:
            self.refusals.append(str(error))
            return sts_error(403, error.code.removesuffix("Exception"), str(error))
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        if form.get("Action") == "GetCallerIdentity":
            return caller_identity_response("222222222222", "assumed-role/caller/job")
        if (form.get("Action"), form.get("ExternalId")) != ("AssumeRole", EXTERNAL_ID):
            self.refusals.append("AccessDenied")
            return sts_error(403, "AccessDenied", "not authorized to perform: sts:AssumeRole")
        name, seconds = form.get("RoleSessionName", ""), form.get("DurationSeconds", "3600")
        if not name or not seconds.isdecimal():
            self.refusals.append("ValidationError")
            return sts_error(400, "ValidationError", "RoleSessionName is missing, or DurationSeconds is no number")
        access_key = f"ASIA{secrets.token_hex(8).upper()}"
        expires = now + min(self.lifetime, timedelta(seconds=int(seconds)))
        session = Credentials(
            f"session-secret-{secrets.token_hex(8)}", f"session-token-{secrets.token_hex(150)}", expires
        )
        self.names[access_key] = name
        self._keys[access_key] = session
        return assume_role_response(access_key, session, name, expires)
