"""Who signed a request: checked with botocore, which shares no code with the caller's signer."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.faults.server import Request

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/\d{8}/(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[\w;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_TOLERANCE = timedelta(minutes=5)


class RefusedError(Exception):
    """A signature that is not accepted, with the code that AWS answers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Session:
    """Credentials that were given out."""

    credentials: Credentials
    name: str
    issued: datetime
    expires: datetime


def verify(request: Request, sessions: Mapping[str, Session], service: str, region: str, now: datetime) -> Session:
    """Find the session whose signature a request carries.

    Args:
        request: The request.
        sessions: All sessions, by access key.
        service: The service that it must be signed for.
        region: The region that it must be signed for.
        now: What the clock of this side says.

    Returns:
        The session.

    Raises:
        RefusedError: The signature is missing, wrong, too old, or that of nobody known.

    See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    match = _AUTHORIZATION.fullmatch(request.headers["Authorization"] or "")
    if not match:
        raise RefusedError("MissingAuthenticationTokenException", "Missing Authentication Token")
    session = sessions.get(match["key"])
    if not session or session.credentials.token != request.headers["X-Amz-Security-Token"]:
        raise RefusedError("UnrecognizedClientException", "The security token included in the request is invalid.")
    date = request.headers["X-Amz-Date"]
    signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(now - signed) > _TOLERANCE:
        raise RefusedError("InvalidSignatureException", f"Signature expired: {date} is now earlier than {now}")
    if (match["service"], match["region"]) != (service, region):
        raise RefusedError("InvalidSignatureException", "Credential should be scoped to a valid region.")
    copy = AWSRequest(
        request.method,
        f"https://{request.headers['Host']}{request.target}",
        {name: request.headers[name] for name in match["headers"].split(";")},
        request.body,
    )
    copy.context["timestamp"] = date
    signer = SigV4Auth(session.credentials, service, region)
    signature = signer.signature(signer.string_to_sign(copy, signer.canonical_request(copy)), copy)
    if not hmac.compare_digest(signature, match["signature"]):
        raise RefusedError("InvalidSignatureException", "The request signature we calculated does not match.")
    if now >= session.expires:
        raise RefusedError("ExpiredTokenException", "The security token included in the request is expired")
    return session
