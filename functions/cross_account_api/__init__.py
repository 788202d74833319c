"""Call an IAM-authorized API Gateway API in another AWS account.

    from cross_account_api import Client

    client = Client("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1", role_arn="…", external_id="…")
    print(client.get("/whoami").body)

`cross_account_api.errors` draws the hierarchy of errors; all of them are `CallError`s.
"""

from cross_account_api.call import Call
from cross_account_api.client import Client
from cross_account_api.errors import (
    ApiError,
    AssumeRoleError,
    BadRequestError,
    CallError,
    CertificateError,
    ConflictError,
    ConnectionFailedError,
    DeadlineError,
    ExpiredSessionError,
    ForbiddenError,
    InProgressError,
    InvalidCallError,
    InvalidResponseError,
    NotFoundError,
    RedirectError,
    ResponseError,
    ResponseTooLargeError,
    ServerError,
    SettingsError,
    ThrottledError,
)
from cross_account_api.response import Response
from cross_account_api.timing import Timing

__all__ = [
    "ApiError",
    "AssumeRoleError",
    "BadRequestError",
    "Call",
    "CallError",
    "CertificateError",
    "Client",
    "ConflictError",
    "ConnectionFailedError",
    "DeadlineError",
    "ExpiredSessionError",
    "ForbiddenError",
    "InProgressError",
    "InvalidCallError",
    "InvalidResponseError",
    "NotFoundError",
    "RedirectError",
    "Response",
    "ResponseError",
    "ResponseTooLargeError",
    "ServerError",
    "SettingsError",
    "ThrottledError",
    "Timing",
]
