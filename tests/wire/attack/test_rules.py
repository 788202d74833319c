"""Template B and the function hold the same rules: a wrong parameter fails the deployment, not the first call."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cross_account_access.templates import source
from cross_account_api import endpoint
from cross_account_api.endpoint import EXTERNAL_ID, REGION, ROLE_ARN, parse_api_url
from cross_account_api.errors import SettingsError
from tests.wire.attack.profile import attack


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


api_urls = (
    st.from_regex(source("b")["Parameters"]["ApiUrl"]["AllowedPattern"])
    | st.from_regex(endpoint._URL)
    | st.from_regex(r"https?://\d{1,3}(\.\d{1,3}){3}(:\d{1,5})?/?", fullmatch=True)
)


@attack
@given(api_urls)
@example("https://api.example.org/my+shop")
@example("https://api.example.org//v1")
@example("https://api.example.org/.well-known/v1")
@example("https://api.example.org/a/..")
@example("http://127.0.0.1:4566/_aws/execute-api/abc/v1")
@example("https://127.0.0.1:4566/_aws/execute-api/abc/v1")
@example("https://1.2.3/v1")
@example("https://256.0.0.1/v1")
@example("https://01.2.3.4/v1")
@example("https://-a.example.org")
@example("https://a_b.example.org")
@example("https://api.example.0x7f")
@example("https://user@api.example.org")
@example("https://" + "a" * 64 + ".example.org")
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
