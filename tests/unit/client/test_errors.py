"""What an error says: which account can fix it, and no secret of somebody else's text."""

from __future__ import annotations

import time

import pytest

from cross_account_api.denials import Denial
from cross_account_api.errors import (
    AssumeRoleError,
    ExpiredSessionError,
    ForbiddenError,
    ResponseTooLargeError,
)

EXECUTOR = "arn:aws:sts::111111111111:assumed-role/orders-api-ExecutorRole-1A2B3C4D5E6F/222222222222-my-user"
METHOD = "arn:aws:execute-api:eu-west-1:********1111:a1b2c3d4e5/v1/GET/orders"
INVOKE = f"User: {EXECUTOR} is not authorized to perform: execute-api:Invoke on resource: {METHOD}"


@pytest.mark.parametrize(
    ("code", "detail", "remedy"),
    [
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            "Account B: duration_seconds of the profile is at most 3600",
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            "Account B: duration_seconds of the profile must be from 900 to the role's MaxSessionDuration.",
        ),
        (
            "ValidationError",
            "1 validation error detected: Value '60' at 'durationSeconds' failed to satisfy constraint",
            "Account B: duration_seconds of the profile must be from 900 to",
        ),
        (
            "ParamValidationError",
            "Invalid length for parameter WebIdentityToken, value: 0, valid min length: 4",
            "Account B: the file in web_identity_token_file or AWS_WEB_IDENTITY_TOKEN_FILE has no token in it.",
        ),
        ("ValidationError", "Value '1' at 'tokenCode' failed", "Account B: an MFA code has 6 digits."),
        ("ParamValidationError", "Invalid length for parameter TokenCode", "Account B: an MFA code has 6 digits."),
        ("ValidationError", "Value 'x' at 'roleArn' failed", "Account B: check the role's ARN, the ExternalId"),
        (
            "MissingDependencyException",
            "Missing Dependency: Using the login credential provider requires an additional dependency.",
            'Account B: this way to sign in needs one more package: pip install "botocore[crt]"',
        ),
    ],
)
def test_advice_fits_the_sentence(code: str, detail: str, remedy: str) -> None:
    assert AssumeRoleError("profile orders", code, detail).remedy.startswith(remedy)


def test_without_words_the_type_is_all_that_is_said() -> None:
    assert AssumeRoleError("profile orders", "EOFError", "").problem == "No credentials from profile orders: EOFError."


def test_a_session_that_is_not_valid_may_be_of_the_global_endpoint_of_sts() -> None:
    detail = "The security token included in the request is invalid."

    assert (
        "sts_regional_endpoints" in ExpiredSessionError(403, code="UnrecognizedClientException", detail=detail).remedy
    )
    assert "sts_regional_endpoints" not in ExpiredSessionError(403, code="ExpiredTokenException", detail=detail).remedy


def test_the_largest_response_is_a_limit_of_the_client() -> None:
    assert "the client takes 10 at most" in str(ResponseTooLargeError(11, 10))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Authorization header requires 'Signature'. Authorization=AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/x, Sig=y",
            "Authorization=AWS4-HMAC-SHA256(not shown)",
        ),
        (f"no session {'IQoJb3JpZ2lu/+=' * 30}: gone", "no session (not shown): gone"),
    ],
)
def test_what_others_say_is_shown_without_secrets(text: str, shown: str) -> None:
    for error in (ForbiddenError(403, detail=text), AssumeRoleError("profile orders", "Unknown", text)):
        assert shown in error.problem
        assert not any(secret in str(error) for secret in ("AKIAEXAMPLE", "IQoJb3JpZ2lu"))


# --- AWS's sentences about denied requests ----------------------------------------------------------------------------


def test_a_missing_permission_may_be_a_wrong_url() -> None:
    denial = Denial.parse(f"{INVOKE} because no identity-based policy allows the execute-api:Invoke action")

    assert denial
    assert denial.remedy == (
        "Account A: the executor role's policy lacks this method and path. "
        "Account B: or the URL is not account A's output ApiUrl. API a1b2c3d4e5, stage v1 in eu-west-1 was called."
    )


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (" in an identity-based policy", ["suspends a consumer or revokes its sessions"]),
        (" in a resource-based policy", ["suspended (SuspendedConsumerIds)", "(MoreExecutorRoleIds)"]),
        ("", ["suspended (SuspendedConsumerIds)", "call with a session of the executor role"]),
    ],
)
def test_a_denial_may_be_a_suspension(reason: str, words: list[str]) -> None:
    denial = Denial.parse(f"{INVOKE} with an explicit deny{reason}")

    assert denial
    assert all(word in denial.remedy for word in words), denial.remedy


def test_a_role_that_no_policy_allows_may_have_a_typo_in_its_arn() -> None:
    sentence = "User: arn:aws:iam::222222222222:user/me is not authorized to perform: sts:AssumeRole on resource: arn:x"
    denial = Denial.parse(f"{sentence} because no identity-based policy allows the sts:AssumeRole action")

    assert denial
    for words in ("ApiUserNames", "ApiRoleNames", "permission set", "the ARN is wrong: compare it with account A's"):
        assert words in denial.remedy
    undecided = Denial.parse(sentence)
    assert undecided
    assert "compare the role's ARN with account A's output ExecutorRoleArn" in undecided.remedy


def test_an_api_cannot_keep_the_client_busy_with_a_long_sentence() -> None:
    start = time.process_time()

    denial = Denial.parse(f"{INVOKE} {'because no a ' * 20_000}")

    assert denial
    assert denial.policy == ""
    assert time.process_time() - start < 5, "minutes, where the time grows with the square of the length"
