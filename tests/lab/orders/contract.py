"""Requests that Schemathesis makes of the OpenAPI document, for `test_contract`."""

import os
from typing import Any

import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, settings
from requests import PreparedRequest
from requests.auth import AuthBase
from schemathesis import Case, CheckFunction
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cross_account_access.templates import PROJECT
from cross_account_lab.accounts import REGION

CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
]

# Documented, but not granted to the executor role.
NOT_GRANTED = "DELETE /orders/{order_id}"

pytest_plugins = ["schemathesis.pytest.plugin"]

schema = schemathesis.openapi.from_path(PROJECT / "docs/openapi.yaml")
schema.validate()
# The signer sets the header, so a generated one would never arrive.
schema.config.generation.update(with_security_parameters=False)
# 422: no schema can express that an idempotency key was used already.
schema.config.checks.positive_data_acceptance.expected_statuses = ["2xx", "404", "409", "422"]


class Signature(AuthBase):
    """Signs requests as a session of the executor role, over nothing but what must be signed, as the caller does.

    Args:
        credentials: The session.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._signer = SigV4Auth(credentials, "execute-api", REGION)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        signed = AWSRequest(request.method, request.url, data=request.body)
        self._signer.add_auth(signed)
        request.headers.update(signed.headers)
        return request


SIGNATURE = Signature(
    Credentials(*(os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")))
)


@schema.parametrize()
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_responses_are_as_documented(case: Case[Any]) -> None:
    response = case.call(base_url=os.environ["API_URL"], auth=SIGNATURE)
    excluded: list[CheckFunction] = []
    if "cursor" in case.query:
        # No schema distinguishes the cursors that this API made from other text.
        excluded.append(positive_data_acceptance)
    if case.operation.label == NOT_GRANTED or case.method != case.operation.method.upper():
        assert response.headers["x-amzn-errortype"] == ["AccessDeniedException"]
        excluded.append(positive_data_acceptance)
    if "x-amzn-errortype" in response.headers:
        # The emulator's own refusals have a content type of their own.
        excluded.append(content_type_conformance)
    case.validate_response(response, checks=CHECKS, excluded_checks=excluded)
