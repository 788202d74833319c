"""Account A on loopback, the one stand-in of this folder: an API that checks signatures, and an STS."""

from contextlib import ExitStack
from ssl import SSLContext
from typing import Any, Self

import pytest
from botocore.credentials import ReadOnlyCredentials

from cross_account_api import Client
from cross_account_lab.judge.differences import Api
from cross_account_lab.judge.gateway import Answer, Gateway, gateway_response
from cross_account_lab.judge.judge import ROLE_ARN
from cross_account_lab.judge.loopback import Server
from cross_account_lab.judge.sigv4 import Credentials
from cross_account_lab.judge.sts import CALLER_ENVIRONMENT, EXTERNAL_ID, REGION, Sts

STAGE = "/v1"
KEY = ("AKIDEXAMPLE", "secret", "token")


class FixedCredentials:
    """One access key forever."""

    def __init__(self, access_key: str = KEY[0], secret_key: str = KEY[1], token: str | None = KEY[2]) -> None:
        self._credentials = ReadOnlyCredentials(access_key, secret_key, token)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._credentials

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        return False


class World:
    """The API and STS, each a server.

    Attributes:
        gateway: Accepts or refuses the requests to the API.
        sessions: Issues sessions.
        url: The API's URL with its stage.
    """

    def __init__(self, tls: SSLContext | None = None, answer: Answer = lambda _: gateway_response(200, {})) -> None:
        self.gateway = Gateway(answer=answer)
        self.gateway.keys[KEY[0]] = Credentials(*KEY[1:])
        self.sessions = Sts(self.gateway.keys)
        self.api = Server(self.gateway, tls)
        self.sts = Server(self.sessions, tls)
        self.gateway.add(Api(self.api.host, REGION, stage=STAGE))
        self.url = self.api.url + STAGE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            stack.callback(self.api.stop)
            stack.callback(self.sts.stop)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a caller."""
        return CALLER_ENVIRONMENT | {"AWS_ENDPOINT_URL_STS": self.sts.url, "NO_PROXY": "*"}

    def client(self, **options: Any) -> Client:
        """Return a client that signs with `KEY`."""
        return Client(self.url, region=REGION, **({"credentials": FixedCredentials()} | options))

    def assuming_client(self, **options: Any) -> Client:
        """Return a client that assumes the role."""
        return Client(
            self.url, role_arn=ROLE_ARN, external_id=EXTERNAL_ID, session_name="222222222222-caller", **options
        )

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the environment that of a caller."""
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
