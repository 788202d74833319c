"""Where the API is: its URL in canonical form, and the region to sign for."""

import ipaddress
import re

from cross_account_api.errors import SettingsError

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,575}", re.ASCII)
EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
API_KEY = re.compile(r"[!-~]{20,128}")
SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]+")
"""What AWS accepts, and the templates' parameters with it."""

ROLE_ARN_FORM = "a role's ARN: arn:aws:iam::<account A>:role/<name>"
EXTERNAL_ID_FORM = "2 to 1224 letters, digits or _+=,.@:/-"
SESSION_NAME_FORM = "2 to 64 letters, digits or _+=,.@-"
API_KEY_FORM = "20 to 128 visible ASCII characters"  # pragma: allowlist secret

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*)/?"
)
_URL_ALLOWED = "https://host[:port][/path] without query, fragment or user (http only for loopback or a one-word host)"
_HOSTS = {
    "execute-api": r"[a-z0-9-]+\.execute-api(?:-fips)?",
    "lambda": r"[a-z0-9]+\.lambda-url",
    "appsync": r"[a-z0-9]+\.appsync-api",
    "bedrock-agentcore": r"(?:[a-z0-9-]+\.gateway\.)?bedrock-agentcore(?:-fips)?",
    "vpc-lattice-svcs": r"[a-z0-9-]+\.[a-z0-9]+\.vpc-lattice-svcs",
}
"""By the service to sign for, the beginning of its host names; the region follows."""

_REGIONAL = {service: re.compile(rf"{host}\.(?P<region>{REGION.pattern})\..+") for service, host in _HOSTS.items()}
_DEFAULT_PORTS = {"https": 443, "http": 80}


def parse_api_url(value: str, *, name: str = "api_url") -> str:
    """Check an API's URL and return it as it is signed: host in lower case, no default port, no slash at the end.

    Raises:
        SettingsError: It is malformed, or would send a session token in the clear over a network; it is called `name`.
    """
    if match := _URL.fullmatch(value):
        scheme, host = match["scheme"], match["host"].lower()
        port = int(match["port"] or _DEFAULT_PORTS[scheme])
        if 0 < port < 65536 and _is_host(host, is_encrypted=scheme == "https"):
            return f"{scheme}://{host}{'' if port == _DEFAULT_PORTS[scheme] else f':{port}'}{match['path']}"
    raise SettingsError(name, shown(value), _URL_ALLOWED)


def require_service(service: str, api_url: str, *, name: str = "service") -> str:
    """Return the service to sign for, or raise SettingsError if it is not known, or the host is another's."""
    host = _host(api_url)
    allowed = [known for known, pattern in _REGIONAL.items() if pattern.fullmatch(host)] or list(_HOSTS)
    if service not in allowed:
        by_host = f" for {host}" if len(allowed) == 1 else ""
        raise SettingsError(name, shown(service), " or ".join(allowed) + by_host)
    return service


def find_api_region(
    api_url: str, given: str, default: str, *, name: str = "region", service: str = "execute-api"
) -> str:
    """Return the region to sign for.

    It is the one given, else the one in the service's own host name (of `execute-api`, for example: public, FIPS, dual
    stack or VPC endpoint, in any partition), else the caller's own, the default, unless the host name looks like one of
    API Gateway's and names no region.

    Raises:
        SettingsError: There is none, or it is malformed.

    See https://docs.aws.amazon.com/general/latest/gr/apigateway.html
    """
    host = _host(api_url)
    match = _REGIONAL[service].fullmatch(host)
    region = given or (match["region"] if match else "" if ".execute-api" in host else default)
    if not REGION.fullmatch(region):
        raise SettingsError(name, shown(region), "the region of the API, for example eu-west-1")
    return region


def check_role(
    role_arn: str | None,
    external_id: str | None,
    session_name: str | None,
    *,
    names: tuple[str, str, str] = ("role_arn", "external_id", "session_name"),
) -> None:
    """Raise SettingsError if what is given for a role's session is malformed; None is not given."""
    values = (role_arn, external_id, session_name)
    patterns = (ROLE_ARN, EXTERNAL_ID, SESSION_NAME)
    forms = (ROLE_ARN_FORM, EXTERNAL_ID_FORM, SESSION_NAME_FORM)
    for value, pattern, name, allowed in zip(values, patterns, names, forms, strict=True):
        if value is not None:
            require_match(value, pattern, name, allowed, secret=pattern is EXTERNAL_ID)


def require_match(value: str, pattern: re.Pattern[str], name: str, allowed: str, *, secret: bool = False) -> str:
    """Return a setting's value, or raise SettingsError if it does not match."""
    if not pattern.fullmatch(value):
        raise SettingsError(name, f"{len(value)} characters" if secret and value else shown(value), allowed)
    return value


def shown(value: str) -> str:
    """Return a setting's value for a message."""
    return repr(value[:100]) if value else "empty"


def _host(api_url: str) -> str:
    return api_url.split("/")[2].partition(":")[0]


def _is_host(host: str, *, is_encrypted: bool) -> bool:
    """Whether everybody reads a host alike (an IPv6 address, four decimal bytes, a name), and it may be used so."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        is_name = not host.startswith("[") and host.rpartition(".")[2][0].isalpha()
        return is_name and (is_encrypted or "." not in host)
    return is_encrypted or address.is_loopback
