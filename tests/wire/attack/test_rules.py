"""Template B and the function hold the same rules: a wrong parameter fails the deployment, not the first call."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cross_account_access.templates import source
from cross_account_api.endpoint import EXTERNAL_ID, REGION, ROLE_ARN, parse_api_url
from cross_account_api.errors import SettingsError
from tests.wire.attack.profile import attack

labels = st.sampled_from(
    [
        *("a", "api", "A-1", "-a", "a-", "xn--a", "1", "0", "127", "255", "256", "01", "0x7f", "localhost", "a" * 63),
        *("a" * 64, "", "é", "a_b", "com", "execute-api", "[", "*"),
    ]
)
hosts = (
    st.lists(labels, min_size=1, max_size=4).map(".".join)
    | st.sampled_from(["localhost", "127.0.0.1", "127.255.255.255", "128.0.0.1", "emulator", "[::1]", "[2001:db8::1]"])
    | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", fullmatch=True)
)
ports = st.just("") | st.builds(
    ":{}".format, st.integers(0, 70_000) | st.sampled_from(["", "00", "00443", "99999", "x"])
)
segments = st.sampled_from(
    ["v1", "..", ".", "...", "", "a.b", "~", "%2e", "a+b", "é", "a?b", "a#b", "@", "a b", "v1\n"]
)
api_urls = st.builds(
    "{}://{}{}{}{}{}".format,
    st.sampled_from(["https", "https", "http", "HTTPS", "ftp", ""]),
    st.sampled_from(["", "", "", "user@", "u:p@"]),
    hosts,
    ports,
    st.lists(segments, max_size=3).map(lambda path: "".join(f"/{segment}" for segment in path)),
    st.sampled_from(["", "", "/", "//", "\n", " "]),
)


def accepts(parameter: str, value: str) -> bool:
    """Return whether CloudFormation accepts a value; its word characters are ASCII only."""
    definition = source("b")["Parameters"][parameter]
    is_short_enough = len(value) <= int(definition.get("MaxLength", 4096))
    return is_short_enough and re.fullmatch(definition["AllowedPattern"], value, re.ASCII) is not None


def is_api_url(value: str) -> bool:
    try:
        parse_api_url(value)
    except SettingsError:
        return False
    return True


@attack
@given(api_urls | st.text(max_size=20))
@example("https://api.example.org/my+shop")
@example("https://api.example.org//v1")
@example("https://api.example.org/.well-known/v1")
@example("https://api.example.org/a/..")
@example("http://127.0.0.1:4566/_aws/execute-api/abc/v1")
@example("https://127.0.0.1:4566/_aws/execute-api/abc/v1")
@example("https://1.2.3/v1")
@example("https://256.0.0.1/v1")
@example("https://01.2.3.4/v1")
@example("https://api.example.org:65535")
@example("https://api.example.org:65536")
@example("https://" + "a." * 200 + "example")
def test_an_api_url_is_one_for_both(value: str) -> None:
    is_rare_address = re.match(r"https?://\[|http://(?!127\.0\.0\.1(?:[:/]|$))[0-9.]+(?:[:/]|$)", value)
    if is_rare_address:
        assert not accepts("ApiUrl", value), "an address that no API has"
    else:
        assert accepts("ApiUrl", value) is is_api_url(value)


FORMS = {
    "ExecutorRoleArn": (
        ROLE_ARN,
        st.from_regex(
            r"arn:(aws|aws-cn|aws-us-gov|aws-iso-b|foo|)[a-z-]*:iam::[0-9]{11,13}:(role|user)/[\w+=,.@/ -]{0,9}\n?"
        ),
    ),
    "ExternalId": (EXTERNAL_ID, st.from_regex(r"[\w+=,.@:/ é-]{0,5}") | st.integers(1220, 1230).map("x".__mul__)),
    "ApiRegion": (REGION, st.from_regex(r"[a-zA-Z]{0,4}(-[a-z0-9]*){0,4}\n?")),
}


@pytest.mark.parametrize("parameter", FORMS)
@attack
@given(st.data())
def test_a_form_is_one_for_both(parameter: str, data: st.DataObject) -> None:
    form, values = FORMS[parameter]
    value = data.draw(values)
    assert accepts(parameter, value) is (value == "" or form.fullmatch(value) is not None)
