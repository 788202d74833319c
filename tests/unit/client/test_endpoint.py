"""Where the API is, and which region and service are signed for."""

import json
from pathlib import Path

import botocore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cross_account_api.endpoint import find_api_region, parse_api_url, require_service
from cross_account_api.errors import SettingsError
from tests.support.fakes import API_URL


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        (API_URL, API_URL),
        (API_URL + "/", API_URL),
        ("https://API.Example.com:443", "https://api.example.com"),
        ("https://api.example.com:8443/v1", "https://api.example.com:8443/v1"),
        ("https://[2001:DB8::1]/v1", "https://[2001:db8::1]/v1"),
        ("http://127.0.0.1:4566/_aws/execute-api/abc/v1", "http://127.0.0.1:4566/_aws/execute-api/abc/v1"),
        ("http://[::1]:4566/v1", "http://[::1]:4566/v1"),
        ("http://localhost:80/v1", "http://localhost/v1"),
        ("http://emulator:4566/v1", "http://emulator:4566/v1"),
    ],
)
def test_an_address_has_one_form(url: str, canonical: str) -> None:
    assert parse_api_url(url) == canonical


BAD_URLS = [
    *("a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1", "ftp://api.example.com", "https://", "https://[::g]"),
    *("https://user:password@api.example.com", "https://api.example.com/v1?a=1", "https://api.example.com/v1#a"),
    *("https://api.example.com/v1/../v2", "https://api.example.com//v1", "https://api.example.com/%761"),
    *("https://api.example.com/v1\n", "https://api.example.com:0", "https://api.example.com:65536"),
    *("https://api..example.com", "https://-api.example.com", "https://" + "a" * 64 + ".example.com"),
    *("https://2130706433/v1", "https://api.example.0x7f/v1", "https://1.2.3/v1", "http://2130706433/v1"),
    *("http://192.0.2.1/v1", "http://[2001:db8::1]/v1", "http://localhost.example.com/v1"),
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_invalid_or_unsafe_url_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="api_url"):
        parse_api_url(url)


@given(st.text() | st.from_regex(r"https?://[^/]{0,20}(/.*)?"))
def test_any_text_is_an_address_or_a_settings_error(url: str) -> None:
    try:
        canonical = parse_api_url(url)
    except SettingsError:
        return
    assert parse_api_url(canonical) == canonical


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "eu-central-1"),
        ("a1b2c3d4e5.execute-api-fips.us-east-1.amazonaws.com", "us-east-1"),
        ("a1b2c3d4e5-vpce-0123456789abcdef0.execute-api.eu-north-1.amazonaws.com", "eu-north-1"),
        ("vpce-0123456789abcdef0-abcdefgh.execute-api.eu-north-1.vpce.amazonaws.com", "eu-north-1"),
        ("api.example.com", "eu-west-1"),
        ("execute-api.eu-central-1.amazonaws.com.example.com", "eu-west-1"),
    ],
)
def test_the_region_comes_from_the_address_else_from_the_caller(host: str, region: str) -> None:
    assert find_api_region(f"https://{host}/v1", "", "eu-west-1") == region
    assert find_api_region(f"https://{host}/v1", "ap-southeast-2", "eu-west-1") == "ap-southeast-2", "as it is given"


def test_the_region_is_known_in_every_partition() -> None:
    partitions = json.loads((Path(botocore.__file__).parent / "data/partitions.json").read_text())["partitions"]

    for partition in partitions:
        region = partition["outputs"]["implicitGlobalRegion"]
        for suffix in (partition["outputs"]["dnsSuffix"], partition["outputs"]["dualStackDnsSuffix"]):
            assert find_api_region(f"https://a1b2c3d4e5.execute-api.{region}.{suffix}/v1", "", "") == region


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("a.execute-api.amazonaws.com", "eu-west-1"),
        ("a.b.execute-api.eu-west-1.amazonaws.com", "eu-west-1"),
        ("api.example.com", ""),
    ],
)
def test_without_a_region_there_is_no_signature(host: str, own: str) -> None:
    with pytest.raises(SettingsError, match="region is empty"):
        find_api_region(f"https://{host}/v1", "", own)
    assert find_api_region(f"https://{host}/v1", "us-east-1", own) == "us-east-1"


@pytest.mark.parametrize(
    ("service", "host"),
    [
        ("lambda", "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-central-1.on.aws"),
        ("appsync", "abcdefghijklmnopqrstuvwxyz.appsync-api.eu-central-1.amazonaws.com"),
        ("bedrock-agentcore", "bedrock-agentcore.eu-central-1.amazonaws.com"),
        ("bedrock-agentcore", "orders-a1b2c3d4e5.gateway.bedrock-agentcore.eu-central-1.amazonaws.com"),
        ("vpc-lattice-svcs", "orders-0123456789abcdef0.7d67968.vpc-lattice-svcs.eu-central-1.on.aws"),
    ],
)
def test_the_host_of_another_service_has_a_region_and_is_signed_for_that_service(service: str, host: str) -> None:
    assert find_api_region(f"https://{host}", "", "eu-west-1", service=service) == "eu-central-1"
    assert require_service(service, f"https://{host}/v1") == service
    with pytest.raises(SettingsError, match=f"service is 'execute-api'. It must be {service} for {host}"):
        require_service("execute-api", f"https://{host}/v1")


def test_a_domain_may_belong_to_any_service_that_is_known() -> None:
    assert require_service("lambda", "https://api.example.com") == "lambda"
    assert find_api_region("https://api.example.com", "", "eu-west-1", service="lambda") == "eu-west-1"
    with pytest.raises(SettingsError, match=r"service is 's3'\. It must be execute-api or lambda or appsync or"):
        require_service("s3", "https://api.example.com")
