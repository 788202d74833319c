"""The caller's configuration: read from the environment once, checked once, never changed."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from cross_account_api.errors import SettingsError

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,575}", re.ASCII)
EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]+")
"""What AWS accepts, and the templates' parameters with it."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?"
)
_URL_ALLOWED = "https://host[:port][/path] without query, fragment or user (http only for loopback or a one-word host)"
_API_HOST = re.compile(
    r"[a-z0-9-]+\.execute-api(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com(?:\.cn)?|api\.aws)"
)
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Settings:
    """What the function needs to know.

    Attributes:
        api_url: Account A's API with its stage, without a slash at the end.
        api_region: The region that requests are signed for.
        executor_role_arn: Account A's role that may call the API.
        external_id: The external id in that role's trust policy.
        session_name: Name of the role session; its first 12 digits are this account's id.
    """

    api_url: str
    api_region: str
    executor_role_arn: str
    external_id: str = field(repr=False)
    session_name: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read and check API_URL, API_REGION, EXECUTOR_ROLE_ARN, EXTERNAL_ID and SESSION_NAME.

        Args:
            environment: The environment variables.

        Returns:
            The settings, with the API's URL in canonical form and the session name cut at the 64 characters that STS
            allows.

        Raises:
            SettingsError: A variable is missing or wrong.

        See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
        """
        api_url = parse_api_url(environment.get("API_URL", ""))
        default_region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", "")
        return cls(
            api_url=api_url,
            api_region=find_api_region(api_url, environment.get("API_REGION", ""), default_region),
            executor_role_arn=_matching(
                environment, "EXECUTOR_ROLE_ARN", ROLE_ARN, "the role's ARN: arn:aws:iam::<account A>:role/<name>"
            ),
            external_id=_matching(
                environment, "EXTERNAL_ID", EXTERNAL_ID, "2 to 1224 letters, digits or _+=,.@:/-", secret=True
            ),
            session_name=_matching(
                {"SESSION_NAME": environment.get("SESSION_NAME", "")[:64]},
                "SESSION_NAME",
                SESSION_NAME,
                "<account id>-<stack name>, at least 2 letters, digits or _+=,.@-",
            ),
        )


def parse_api_url(value: str) -> str:
    """Check the API's address and bring it into the one form that is signed and sent.

    Args:
        value: The address with its stage, as the output `ApiUrl` of account A's stack gives it.

    Returns:
        The address in lower case up to the path, without default port and without a slash at the end.

    Raises:
        SettingsError: It is not such an address, or would send a session token in the clear over a network.
    """
    match = _URL.fullmatch(value)
    if not match:
        raise SettingsError("API_URL", _shown(value), _URL_ALLOWED)
    scheme, host, path = match["scheme"], match["host"].lower(), match["path"]
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if not (
        0 < port < 65536
        and not {".", ".."} & set(path.split("/"))
        and _is_address_or_name(host)
        and (scheme == "https" or _is_local(host))
    ):
        raise SettingsError("API_URL", _shown(value), _URL_ALLOWED)
    return f"{scheme}://{host}{'' if port == _DEFAULT_PORTS[scheme] else f':{port}'}{path}"


def find_api_region(api_url: str, given: str, default: str) -> str:
    """Decide which region a request is signed for.

    Args:
        api_url: The API's address, as `parse_api_url` returns it.
        given: The region given for the API; empty if none is.
        default: The caller's own region; empty if it has none.

    Returns:
        The region given, else the one in an `execute-api` host name (public, FIPS, dual stack or VPC endpoint), else
        the caller's own.

    Raises:
        SettingsError: There is none, or it is not the form of a region's name.

    See https://docs.aws.amazon.com/general/latest/gr/apigateway.html
    """
    host = api_url.split("/")[2].partition(":")[0]
    match = _API_HOST.fullmatch(host)
    region = given or (match["region"] if match else default)
    if not REGION.fullmatch(region):
        raise SettingsError("API_REGION", _shown(region), "the region of the API, for example eu-west-1")
    return region


def _is_address_or_name(host: str) -> bool:
    """Tell whether a host is one thing to everybody: an IPv6 address, four decimal bytes, or a name with a letter."""
    if host.startswith("["):
        return _address(host) is not None
    return _address(host) is not None or host.rpartition(".")[2][0].isalpha()


def _is_local(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else "." not in host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _matching(
    environment: Mapping[str, str], variable: str, pattern: re.Pattern[str], allowed: str, *, secret: bool = False
) -> str:
    value = environment.get(variable, "")
    if not pattern.fullmatch(value):
        shown = f"{len(value)} characters" if secret and value else _shown(value)
        raise SettingsError(variable, shown, allowed)
    return value


def _shown(value: str) -> str:
    return repr(value[:100]) if value else "empty"
