"""What an error says: which account can fix it, in whose words, and no secret of somebody else's text."""

import re
import time

import pytest
from botocore.exceptions import ConnectionError, HTTPClientError  # noqa: A004 - botocore's own

from call_api.settings import WORDS
from cross_account_api import advice
from cross_account_api.advice import Advice
from cross_account_api.denials import Denial
from cross_account_api.errors import (
    AssumeRoleError,
    ConnectionFailedError,
    DeadlineError,
    ExpiredSessionError,
    ForbiddenError,
)
from cross_account_caller.words import FUNCTION

EXECUTOR = "arn:aws:sts::111111111111:assumed-role/orders-api-ExecutorRole-1A2B3C4D5E6F/222222222222-my-user"
METHOD = "arn:aws:execute-api:eu-west-1:********1111:a1b2c3d4e5/v1/GET/orders"
INVOKE = f"User: {EXECUTOR} is not authorized to perform: execute-api:Invoke on resource: {METHOD}"
ASSUME = "User: arn:aws:iam::222222222222:user/me is not authorized to perform: sts:AssumeRole on resource: arn:x"


@pytest.mark.parametrize(
    ("code", "detail", "remedy"),
    [
        ("ValidationError", "The requested DurationSeconds exceeds the 1 hour limit by role chaining.", "at most 3600"),
        ("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set.", "must be from 900 to"),
        ("ValidationError", "1 validation error: Value '60' at 'durationSeconds' failed", "must be from 900 to"),
        ("ParamValidationError", "Invalid length for parameter WebIdentityToken", "has no token in it"),
        ("ValidationError", "Value '1' at 'tokenCode' failed", "Account B: an MFA code has 6 digits."),
        ("ParamValidationError", "Invalid length for parameter TokenCode", "Account B: an MFA code has 6 digits."),
        ("ValidationError", "Value 'x' at 'roleArn' failed", "Account B: check the role's ARN, the ExternalId"),
        ("MissingDependencyException", "Missing Dependency: Using the login", 'pip install "botocore[crt]"'),
        (
            "ClientError",
            "SSOError: AccessDenied: Login",
            "Account B: correct the credentials or the AWS configuration.",
        ),
    ],
)
def test_advice_fits_the_code_and_the_sentence(code: str, detail: str, remedy: str) -> None:
    assert remedy in AssumeRoleError("profile orders", code, detail).remedy


@pytest.mark.parametrize(
    ("code", "detail", "remedy"),
    [
        ("InvalidSignatureException", "Credential should be scoped to a valid region", "sign for the API's region."),
        ("InvalidSignatureException", "Signature expired: now", "Account B: set the clock."),
        ("IncompleteSignatureException", "not valid", "something in between changes the Authorization header."),
    ],
)
def test_advice_fits_how_the_api_refuses(code: str, detail: str, remedy: str) -> None:
    assert remedy in ForbiddenError(403, code=code, detail=detail).remedy


def test_every_way_not_to_reach_sts_has_advice() -> None:
    other = {"SSLError": "must contain the CA of STS", "ProxyConnectionError": "check HTTPS_PROXY"}
    kinds: list[type[Exception]] = [HTTPClientError, ConnectionError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        advised = other.get(kind.__name__, "STS must be reachable from here")
        assert advised in AssumeRoleError("profile orders", kind.__name__, "").remedy


def test_without_words_the_type_is_all_that_is_said() -> None:
    assert AssumeRoleError("profile orders", "EOFError", "").problem == "No credentials from profile orders: EOFError."


def test_a_session_that_is_not_valid_may_be_of_the_global_endpoint_of_sts() -> None:
    for code, is_told in (("UnrecognizedClientException", True), ("ExpiredTokenException", False)):
        error = ExpiredSessionError(403, code=code, detail="The security token included in the request is invalid.")
        assert ("sts_regional_endpoints" in error.remedy) is is_told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Authorization header requires 'Signature'. Authorization=AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/x, Sig=y",
            "Authorization=AWS4-HMAC-SHA256(not shown)",
        ),
        (f"no session {'IQoJb3JpZ2lu/+=' * 30}: gone", "no session (not shown): gone"),
        ("No match.\n\nThe Canonical String was 'x-amz-security-token:IQoJb3JpZ2lu'", "No match"),
    ],
)
def test_what_others_say_is_shown_without_secrets(text: str, shown: str) -> None:
    for error in (ForbiddenError(403, detail=text), AssumeRoleError("profile orders", "Unknown", text)):
        assert shown in error.problem
        assert not any(secret in str(error) for secret in ("AKIAEXAMPLE", "IQoJb3JpZ2lu"))


# --- AWS's sentences about denied requests, of which call_api/test_doctor.py has a list -----------------------------


def test_only_a_403_of_api_gateway_is_read_as_a_denial() -> None:
    for status, code, is_read in (
        (403, "AccessDeniedException", True),
        (400, "AccessDeniedException", False),
        (403, "", False),
    ):
        assert ("stage v1 in" in ForbiddenError(status, code=code, detail=INVOKE).remedy) is is_read


def test_an_api_cannot_keep_the_client_busy_with_a_long_sentence() -> None:
    start = time.process_time()

    denial = Denial.parse(f"{INVOKE} {'because no a ' * 20_000}")
    AssumeRoleError("profile orders", "Connect" * 20_000, "")

    assert denial
    assert denial.policy == ""
    assert time.process_time() - start < 5, "minutes, where the time grows with the square of the length"


# --- Whose words they are said in -------------------------------------------------------------------------------------

SENTENCES = [
    *Advice,
    *(
        sentence
        for table in (advice.STS, advice.FORBIDDEN, advice.EXPIRED, advice.THROTTLED)
        for sentence in table.values()
    ),
    *(sentence for pair in advice.POLICIES.values() for sentence in pair),
    *advice.MORE.values(),
]


def test_the_library_knows_no_name_of_a_template_or_a_command() -> None:
    ours = re.compile("call-api|template|ExecutorRole|Api[A-Z]|ConsumerI|ExecutorRoleI|EndpointI|--(?!profile)[a-z]")
    assert [sentence for sentence in SENTENCES if ours.search(sentence)] == []


@pytest.mark.parametrize("words", [FUNCTION, WORDS], ids=["function", "command"])
def test_an_application_has_words_of_its_own(words: dict[str, str]) -> None:
    error = AssumeRoleError("arn:aws:iam::111111111111:role/x", "AccessDenied", ASSUME)
    slow = DeadlineError(1, 2, 3, ConnectionFailedError("late", may_have_arrived=True, remedy=Advice.SLOW))
    for each in (error, slow):
        each.reword(words)

    assert "account A's output ExecutorRoleArn; allow sts:AssumeRole on" in error.remedy
    assert str(error) == f"{error.problem} {error.remedy}"
    assert re.search(r"Last failure: ConnectionFailedError: .* late\. Account B: .*(ApiTimeout|--timeout)", str(slow))
    names = re.compile(r"\{\w+\}")
    assert {name: set(names.findall(text)) for name, text in words.items()} == {
        name: set(names.findall(name)) for name in words
    }, "the same is filled in"
