"""STS, as far as AssumeRole goes: each session has credentials of its own."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from tests.support.aws.loopback import Reply
from tests.support.aws.sigv4 import Credentials, RefusedError, Request, verify

OWN_KEY = "AKIDCALLER"
OWN_SECRET = "caller-secret"
REGION = "eu-west-1"

_ANSWER = """\
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>\
<AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
<Expiration>{:%Y-%m-%dT%H:%M:%S.%fZ}</Expiration>\
</Credentials></AssumeRoleResult></AssumeRoleResponse>"""


class Sts:
    """Gives out sessions to whoever signs with the caller's own key.

    Args:
        keys: Where the access keys of new sessions are put, for the gateway to know them.
        lifetime: How long a session is said to last.

    Attributes:
        issued: The access keys of all sessions, oldest first.
        refusals: Why requests were refused.
    """

    def __init__(self, keys: MutableMapping[str, Credentials], lifetime: timedelta) -> None:
        self._keys = keys
        self._lifetime = lifetime
        self.issued: list[str] = []
        self.refusals: list[str] = []

    def __call__(self, request: Request) -> Reply:
        """Answer a request.

        Args:
            request: An AssumeRole request.

        Returns:
            200 with the session, or 403.
        """
        now = datetime.now(UTC)
        try:
            verify(request, {OWN_KEY: Credentials(OWN_SECRET)}, region=REGION, service="sts", now=now)
        except RefusedError as error:
            self.refusals.append(str(error))
            return 403, {}, b""
        assert parse_qs(request.body.decode())["Action"] == ["AssumeRole"]
        access_key = f"ASIA{secrets.token_hex(8).upper()}"
        session = Credentials(secrets.token_urlsafe(30), secrets.token_urlsafe(300))
        self._keys[access_key] = session
        self.issued.append(access_key)
        answer = _ANSWER.format(access_key, session.secret_key, session.token, now + self._lifetime)
        return 200, {"Content-Type": "text/xml"}, answer.encode()
