"""API URLs of all kinds, and the client's side of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from botocore.credentials import ReadOnlyCredentials

from cross_account_api import Client
from cross_account_api.transport import Connections


class Place(NamedTuple):
    """An API's URL and region as a user gives them, and what follows from them.

    Attributes:
        host: Host name and port to connect to.
        base_path: Prefix of every path.
        region: The region to sign for, if the caller's own is `af-south-1`.
    """

    url: str
    given_region: str
    host: tuple[str, int]
    host_header: str
    base_path: str
    region: str


def _place(url: str, region: str, *, given_region: str = "", base_path: str = "/v1", port: int = 443) -> Place:
    name = url.split("/")[2].lower().removesuffix(":443")
    host = name.removesuffix(f":{port}").strip("[]")
    return Place(url, given_region, (host, port), name, base_path, region)


PLACES = [
    _place("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1", "eu-west-1"),
    _place("https://a1b2c3d4e5.execute-api.us-gov-west-1.amazonaws.com/v1/", "us-gov-west-1"),
    _place("https://a1b2c3d4e5.execute-api.cn-north-1.amazonaws.com.cn/v1", "cn-north-1"),
    _place("https://a1b2c3d4e5.execute-api-fips.ca-central-1.amazonaws.com/v1", "ca-central-1"),
    _place("https://a1b2c3d4e5.execute-api.ap-southeast-3.api.aws/v1", "ap-southeast-3"),
    _place("https://A1B2C3D4E5.Execute-Api.EU-West-1.amazonaws.com:443/v1", "eu-west-1"),
    _place("https://orders.example.com", "eu-central-2", given_region="eu-central-2", base_path=""),
    _place("https://orders.example.com:8443/base_path/v1", "af-south-1", base_path="/base_path/v1", port=8443),
    _place("https://[::1]:9443/~v1", "mx-central-1", given_region="mx-central-1", base_path="/~v1", port=9443),
    _place("http://emulator:4566/_aws/v1", "af-south-1", base_path="/_aws/v1", port=4566),
    _place("http://127.0.0.1:8080/v1", "us-east-1", given_region="us-east-1", port=8080),
    _place("http://localhost/v1", "af-south-1", port=80),
]

TRACE_ID = "Root=1-69689f80-0f1e2d3c4b5a69788796a5b4;Parent=53995c3f42cd8ad8;Sampled=1"


@dataclass(frozen=True)
class Api:
    """An API, with the client's connections to it."""

    place: Place
    connections: Connections

    def client(self, credentials: FixedCredentials) -> Client:
        place = self.place
        return Client(place.url, region=place.given_region, credentials=credentials, transport=self.connections)


class FixedCredentials:
    """One access key forever."""

    def __init__(self, access_key: str, secret_key: str, token: str | None) -> None:
        self._credentials = ReadOnlyCredentials(access_key, secret_key, token)

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._credentials

    def refresh(self, refused: ReadOnlyCredentials, *, expired: bool) -> bool:
        return False
