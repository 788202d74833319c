"""Call an IAM-authorized API Gateway API in another AWS account.

    from cross_account_api import Client

    client = Client("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/v1", role_arn="…", external_id="…")
    print(client.get("/whoami").body)

`cross_account_api.errors` draws the hierarchy of errors; all of them are `CallError`s.
"""

from cross_account_api.call import Call as Call
from cross_account_api.client import Client as Client
from cross_account_api.errors import ApiError as ApiError
from cross_account_api.errors import AssumeRoleError as AssumeRoleError
from cross_account_api.errors import BadRequestError as BadRequestError
from cross_account_api.errors import CallError as CallError
from cross_account_api.errors import CertificateError as CertificateError
from cross_account_api.errors import ConflictError as ConflictError
from cross_account_api.errors import ConnectionFailedError as ConnectionFailedError
from cross_account_api.errors import DeadlineError as DeadlineError
from cross_account_api.errors import ExpiredSessionError as ExpiredSessionError
from cross_account_api.errors import ForbiddenError as ForbiddenError
from cross_account_api.errors import InProgressError as InProgressError
from cross_account_api.errors import InvalidCallError as InvalidCallError
from cross_account_api.errors import InvalidResponseError as InvalidResponseError
from cross_account_api.errors import NotFoundError as NotFoundError
from cross_account_api.errors import RedirectError as RedirectError
from cross_account_api.errors import ResponseError as ResponseError
from cross_account_api.errors import ResponseTooLargeError as ResponseTooLargeError
from cross_account_api.errors import ServerError as ServerError
from cross_account_api.errors import SettingsError as SettingsError
from cross_account_api.errors import ThrottledError as ThrottledError
from cross_account_api.response import Response as Response
from cross_account_api.response import StreamedResponse as StreamedResponse
from cross_account_api.timing import Timing as Timing
from cross_account_api.version import __version__ as __version__
